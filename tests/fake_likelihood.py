"""A template's `likelihood.h5`, made up for tests."""

from pathlib import Path

import numpy as np

from innerear.capture.counterfactual import KEPT, Cells, Clip
from innerear.stacks import GramFile

FRAMES = 20
#: nats that a text adds to each token of a clip
ADDED = {"calm": 0.25, "sad": -0.125, "neutral": 0.5, "none": 1.0, "paraphrase": 0.0}


def write_likelihood(path: Path) -> None:
    """Write two clips, t-calm/seed-0 and t-sad/seed-0, under five texts; frame 0 was given, so it is NaN."""
    empty = np.zeros((4, FRAMES), np.int16)
    clips = [
        Clip(f"t-{emotion}/seed-0", emotion, 0, f"{emotion} music", empty) for emotion in ("calm", "sad")
    ]
    cells = Cells(clips, "music", {"calm": "very calm", "sad": "very sad"})
    arrays, coords = cells.coordinates()
    own = np.random.default_rng(0).uniform(1, 2, (2, 4, FRAMES))
    nll = np.empty((len(cells), 2, 4, FRAMES), np.float32)
    for i in range(len(cells)):
        clip, text = divmod(i, len(cells.texts))
        name = cells.texts[text]
        nll[i, 0] = own[clip] + (0 if name == clips[clip].emotion else ADDED[name])
        nll[i, 1] = -7
    nll[..., 0] = np.nan
    arrays["nll"] = (("cell", "distribution", "codebook", "frame"), nll)
    coords |= {"distribution": list(KEPT), "codebook": range(4), "frame": range(FRAMES)}
    GramFile.write(path, arrays, coords, {"frame_rate": 50.0, "template": "t"})

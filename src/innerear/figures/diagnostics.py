"""Parts of a raw cosine: a constant, a mean that all samples share, and a few massive dimensions."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from innerear.figures.drawing.grid import Grid
from innerear.figures.drawing.maps import Steps, draw_map
from innerear.figures.drawing.style import SEQUENTIAL, styled
from innerear.gram.reading import GramSource, step_counts

_ROWS = {
    "level_share": "mean over units\n(not in the states)",
    "shared": "mean over samples",
    "top3_share": "3 largest dimensions",
}


@styled
def draw(grams: Mapping[int, GramSource], *, model: str, contrast: str = "") -> dict[str, Figure]:
    """Draw the shares of levels, mean and top three dimensions in the energy, layer × step, by branch.

    `grams` are the open Gram files by layer. The level is the mean over units, which LayerNorm discards: its
    share is of the raw states' energy, the others' of the states without it. The mean's share is what the
    mean raw cosine between samples amounts to. Steps equal for all samples are left white.
    """
    layers, first = sorted(grams), grams[min(grams)]
    title = f"States of {model}: what a raw cosine is made of (diagnostic)"
    how = (
        "share of energy: of raw states, in the mean over units that the model discards; without it, in the\n"
        "mean over samples, and in the 3 largest dimensions\n"
        f"n: {len(first.coords('sample'))} samples; white: equal for all samples; grey: pads"
    )
    columns = {"branch": first.labels("branch")}
    grid = Grid(title, how, {"name": list(_ROWS)}, columns, panel=(3.3, 2.0), sides=["layer"] * len(_ROWS))
    for panel, where in grid:
        values = np.array([_share(grams[layer], **where) for layer in layers])
        draw_map(panel, values, layers, (0, 1), SEQUENTIAL)
    for row, label in enumerate(_ROWS.values()):
        grid.bar(f"energy share of\n{label}", row)
    grid.step_axis(
        Steps(*(np.repeat(first.read(name), step_counts(first)) for name in ("seconds", "complete")))
    )
    return {"diagnostics": grid.figure}


def _share(gram: GramSource, name: str, branch: str) -> np.ndarray:
    shared = name == "shared"
    share = gram.read("centred_share" if shared else name, branch=branch)
    share = 1 - share if shared else share
    if name != "level_share":
        share = np.where(gram.read("deterministic", branch=branch), np.nan, share)
    return np.repeat(share, step_counts(gram))

"""The counterfactual page says how likely each clip is under each text, relative to its own prompt."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from innerear.capture.counterfactual import KEPT, Cells, Clip
from innerear.pages.counterfactual import counterfactual_page, excess
from innerear.stacks import GramFile

FRAMES, RATE = 20, 16000
#: Nats that a text adds to each token of a clip.
ADDED = {"calm": 0.25, "sad": -0.125, "neutral": 0.5, "none": 1.0, "paraphrase": 0.0}


@pytest.fixture
def likelihood(tmp_path):
    """Two clips under five texts; frame 0 was given, so that nothing is known of it."""
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
    GramFile.write(tmp_path / "likelihood.h5", arrays, coords, {"frame_rate": 50.0})
    with GramFile(tmp_path / "likelihood.h5") as file:
        yield file


def test_the_excess_is_relative_to_the_clips_own_prompt(likelihood):
    found = excess(likelihood)
    assert list(found) == ["t-calm/seed-0", "t-sad/seed-0"]
    assert list(found["t-calm/seed-0"]) == ["sad", "neutral", "none", "paraphrase"]
    for texts in found.values():
        for text, nats in texts.items():
            assert np.isnan(nats[:, 0]).all()
            np.testing.assert_allclose(nats[:, 1:], ADDED[text], atol=1e-5)
    assert np.nanmax(np.abs(excess(likelihood, "guided")["t-sad/seed-0"]["none"])) == 0


def test_the_page_shows_each_clip_of_the_template_with_its_bars_and_curves(likelihood, tmp_path):
    rows = [
        (f"{prompt}/seed-0", prompt, prompt.split("-")[1], "<b>text</b>", 0, tmp_path / f"{prompt}.wav")
        for prompt in ("t-calm", "u-calm", "t-sad")
    ]
    for *_, path in rows:
        soundfile.write(path, np.zeros(RATE // 2), RATE)
    columns = ["sample_id", "prompt_id", "emotion", "text", "seed", "audio"]
    page = counterfactual_page(
        pd.DataFrame(rows, columns=columns), likelihood, title="study: t", model="nano"
    )
    assert page.count('class="player"') == 2
    assert "u-calm" not in page
    assert "2 clips of 2 prompts, made by nano" in page
    assert page.count("<polyline") == 2 * 4
    for shown in ("+0.250", "-0.125", "+0.500", "+1.000", "+0.000"):
        assert shown in page
    # 4 codebooks × 19 frames, of one nat each at most.
    assert "from -10 to 76 nats" in page
    assert "nan" not in page.replace("nano", "")

"""The counterfactual page says how likely each clip is under each text, relative to its own prompt."""

import numpy as np
import pandas as pd
import pytest
from fake_likelihood import ADDED, write_likelihood

from innerear.io.clips import write_clip
from innerear.pages.counterfactual import counterfactual_page, excess
from innerear.pages.heading import Heading
from innerear.stacks import GramFile

RATE = 16000


@pytest.fixture
def likelihood(tmp_path):
    write_likelihood(tmp_path / "likelihood.h5")
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
    columns = ["sample_id", "prompt_id", "emotion", "text", "seed", "audio"]
    samples = pd.DataFrame(rows, columns=columns)
    hashes = [write_clip(path, np.zeros(RATE // 2), RATE) for path in samples["audio"]]
    samples = samples.assign(audio_sha256=hashes, recording="")
    page = counterfactual_page(samples, likelihood, Heading("study", "nano", 4, 2))
    assert page.count('class="player"') == 2
    assert "u-calm" not in page
    assert "Text or history: t" in page
    assert page.count("<polyline") == 2 * 4
    for shown in ("+0.250", "-0.125", "+0.500", "+1.000", "+0.000"):
        assert shown in page
    # 4 codebooks × 19 frames, of one nat each at most.
    assert "from -10 to 76 nats" in page
    assert "nan" not in page.replace("nano", "")

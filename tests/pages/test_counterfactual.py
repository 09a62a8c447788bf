"""The counterfactual page says how likely each clip is under each text, relative to its own prompt."""

import re

import numpy as np
import pytest
from fake_likelihood import ADDED, write_likelihood
from fakes import sheet
from markupsafe import Markup

from innerear.io.clips import write_clip
from innerear.pages.counterfactual import counterfactual_page, excess
from innerear.pages.figures import Figure
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


SHARES = Figure("shares", Markup("<svg id='shares'/>"), "0 0 1 1", Markup("Shares <i>of</i> the variance."))


def page_of(likelihood, folder, templates):
    samples = sheet(("t", "u"), 1, ("calm", "sad")).head(3)
    paths = [folder / f"{prompt}.wav" for prompt in samples["prompt_id"]]
    hashes = [write_clip(path, np.zeros(RATE // 2), RATE) for path in paths]
    samples = samples.assign(text="<b>text</b>", audio=paths, audio_sha256=hashes, recording="")
    heading = Heading("study", "nano", 4, 2)
    return counterfactual_page(samples, likelihood, heading, figures={"shares": SHARES}, templates=templates)


def test_the_page_shows_each_clip_of_the_template_with_its_bars_and_curves(likelihood, tmp_path):
    page = page_of(likelihood, tmp_path, ["t"])
    assert page.count('class="player"') == 2
    assert "u-calm" not in page
    assert page.count("<polyline") == 2 * 4
    for shown in ("+0.250", "-0.125", "+0.500", "+1.000", "+0.000"):
        assert shown in page
    # 4 codebooks × 19 frames, of one nat each at most.
    assert "from -10 to 76 nats" in page
    assert "nan" not in page.replace("nano", "")


def test_the_page_begins_with_the_figures_and_says_whose_clips_follow(likelihood, tmp_path):
    page = page_of(likelihood, tmp_path, ["t", "u", "v"])
    places = [
        page.index(said) for said in ("<svg id='shares'/>", "Shares <i>of</i>", "template “t”", "<article>")
    ]
    assert places == sorted(places)
    assert "2 other templates (u, v)" in page
    assert "other template" not in page_of(likelihood, tmp_path, ["t"])


def test_a_filter_of_one_entry_is_left_out(likelihood, tmp_path):
    assert re.findall(r'data-filter="(\w+)"', page_of(likelihood, tmp_path, ["t"])) == ["label"]

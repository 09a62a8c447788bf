"""The page of features in real browsers: a moment plays from where it says, and stops when pressed again."""

import time

import numpy as np
import pandas as pd
import pytest
from fakes import make_design

from innerear.analyses.features import BY_FEATURE, FEATURES
from innerear.io.clips import write_clip
from innerear.pages.features import LISTEN, features_page
from innerear.pages.heading import Heading

from .test_layout import axe_faults

# Says what a browser was asked to play: the buffer's length, and (offset, seconds) of each start.
SPY = """
    window.started = [];
    const start = AudioBufferSourceNode.prototype.start;
    AudioBufferSourceNode.prototype.start = function (when, offset, seconds) {
      window.started.push([this.buffer.duration, offset, seconds]);
      return start.call(this, when, offset, seconds);
    };"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of three features of 4 s clips, in which each fires."""
    folder, design = tmp_path_factory.mktemp("features"), make_design(2)
    paths = [folder / f"{i}.wav" for i in range(design.n_samples)]
    hashes = [write_clip(path, np.sin(np.arange(64_000) / 20), 16_000) for path in paths]
    design.samples = design.samples.assign(audio=list(map(str, paths)), audio_sha256=hashes)
    rng = np.random.default_rng(0)
    indices = np.tile(np.arange(3, dtype=np.uint16), (design.n_samples, 197, 1))
    common = {"statistic": BY_FEATURE, "kind": FEATURES, "branch": "uncond", "measure": "mean activation"}
    common |= {
        "k": 2.0,
        "n_templates": 2.0,
        "p_flip_corrected": np.nan,
        "stable": True,
        "beyond_twin": True,
        "layer": 2,
    }
    own = {
        "feature": range(3),
        "f": [1.0, 2.0, 3.0],
        "estimate": [0.5, 0.25, 0.125],
        "p_corrected": [0.5, np.nan, 0.25],
    }
    own |= {"named": [False, True, False]}
    activations = {2: (indices, rng.exponential(size=indices.shape))}
    # As wide as real ones.
    said = [("near direction", np.nan, n, 0.5) for n in (101, 102, 103)]
    said += [("code", n, 200 + n, 21.9) for n in range(3)] + [
        ("cost without it", n, 4, 0.2) for n in range(4)
    ]
    described = pd.DataFrame(said, columns=["about", "codebook", "which", "value"]).assign(layer=2, feature=1)
    text = features_page(
        pd.DataFrame(own | common),
        described,
        activations,
        np.arange(197) / 50,
        design,
        Heading("made up", "none", 8, 4),
    )
    (folder / "features.html").write_text(text, encoding="utf-8")
    return folder / "features.html"


def press(browser, number: int) -> float:
    """Press a moment; return the second at which it says that it starts."""
    x, y, start = browser.run(f"""
        const moment = document.querySelectorAll('.moment')[{number}];
        moment.scrollIntoView({{block: "center"}});
        const {{x, y, width, height}} = moment.getBoundingClientRect();
        return [x + width / 2, y + height / 2, Number(moment.dataset.start)];""")
    browser.click(round(x), round(y))
    return start


def wait_for(browser, script: str):
    for _ in range(100):
        if found := browser.run(script):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{script} did not come true: {browser.messages()}")


def test_a_moment_plays_from_its_second_and_stops(browser, page):
    browser.open(page)
    browser.run(SPY)
    start = press(browser, 0)
    wait_for(browser, "return window.started.length === 1")
    ((duration, offset, seconds),) = browser.run("return window.started")
    assert abs(duration - 4) < 0.05 and abs(offset - start) < 0.011 and seconds == LISTEN
    pressed = "return [...document.querySelectorAll('[aria-pressed=true]')].length"
    assert "Play" in wait_for(browser, "return document.getElementById('playing').textContent")
    press(browser, 9)
    wait_for(browser, "return window.started.length === 2")
    assert browser.run(pressed) == 1
    press(browser, 9)
    assert browser.run(pressed) == 0
    assert browser.messages() == []


def test_the_page_has_no_line_that_is_too_wide(browser, page):
    browser.open(page)
    for width in (1440, 400):
        browser.resize(width, 900)
        assert browser.run("return document.documentElement.scrollWidth - window.innerWidth") <= 0


ORDER = """
    const rows = [...document.querySelectorAll("tbody tr")];
    return rows.filter(row => !row.hidden).map(row => row.cells[1].textContent);"""


def test_the_table_sorts_and_filters_and_leads_to_the_features(browser, page):
    browser.open(page)
    head = "document.querySelectorAll('thead th')[{}]"
    assert browser.run(ORDER) == ["1", "2", "0"]  # the named one first, then by p
    for column, ascending in ((1, ["0", "1", "2"]), (4, ["2", "1", "0"]), (5, ["2", "0", "1"])):
        for order in ("ascending", "descending"):
            browser.run(f"{head.format(column)}.firstElementChild.focus()")
            browser.press("Space")
            assert browser.run(f"return {head.format(column)}.getAttribute('aria-sort')") == order
            assert browser.run(ORDER) == (ascending if order == "ascending" else ascending[::-1])
        assert browser.run("return document.querySelectorAll('[aria-sort]').length") == 1
    browser.run("""
        const box = document.querySelector("[data-filter=named]");
        box.value = "yes";
        box.dispatchEvent(new Event("change"));""")
    assert browser.run(ORDER) == ["1"]
    assert browser.run("return document.getElementById('count').textContent") == "1 of 3 features"
    articles = (
        "return [...document.querySelectorAll('article')].filter(one => one.offsetParent).map(one => one.id)"
    )
    assert browser.run(articles) == ["feature-2-1"]
    assert browser.run("return document.querySelector('tbody a').hash") == "#feature-2-1"
    assert browser.messages() == []


def test_axe_finds_nothing_serious_in_the_features(chromium, page):
    chromium.resize(390, 900)
    chromium.open(page)
    assert not axe_faults(chromium)

"""Every page of a real study: quiet, whole, and readable on a telephone and at night. Pictures are kept."""

import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from snakemake_runs import command

from .test_layout import axe_faults, reaching_out

ROOT = Path(__file__).parents[2]
PAGES = ["index", "map", "listen", "counterfactual", "record"]
PICTURES = ROOT / "results/.pictures"
SMALL = {
    "study": "small",
    "prompts": {
        "templates": [
            {
                "id": "piano",
                "text": "a {emotion} solo piano piece",
                "paraphrase": "a {emotion} piece for piano",
            },
            {"id": "band", "text": "a {emotion} tune for a small band"},
        ],
        "emotions": [{"id": "calm"}, {"id": "energetic"}],
    },
    "seeds": [0, 1],
    "generation": {"duration": 1},
    "capture": {"layers": [0, 5]},
    "gram": {"bins": 5},
    "statistics": {"permutations": 49, "bootstraps": 50, "controls": ["shuffled"]},
}


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """The folder of a study that has run."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "config.yaml").write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    done = subprocess.run(command("--cores", "2"), cwd=folder, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-4000:]
    return folder / "results/small"


def opened(chromium, study, name, scheme="light"):
    chromium.page.emulate_media(color_scheme=scheme)
    chromium.open(study / f"{name}.html")
    for _ in range(100):
        if name != "map" or chromium.run("return document.documentElement.dataset.whole"):
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} is not ready")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_is_quiet_and_can_be_read(chromium, study, name, width, scheme):
    chromium.resize(width, 900)
    opened(chromium, study, name, scheme)
    PICTURES.mkdir(parents=True, exist_ok=True)
    chromium.screenshot(PICTURES / f"{name}_{width}_{scheme}.png")
    chromium.run("for (const closer of document.querySelectorAll('details')) closer.open = true;")
    assert reaching_out(chromium) == []
    assert not axe_faults(chromium)
    assert not chromium.messages()


@pytest.mark.parametrize("name", PAGES)
def test_every_room_is_a_press_away(chromium, study, name):
    opened(chromium, study, name)
    rooms = chromium.run("""
        return [...document.querySelectorAll("header nav a")]
            .map(room => [room.textContent, room.getAttribute("href"), room.getAttribute("aria-current")])""")
    assert [room for room, _, _ in rooms] == ["Answers", "Map", "Clips", "Text or history", "Record"]
    assert [file for _, file, current in rooms if current] == [f"{name}.html"]
    assert all((study / file).is_file() for _, file, _ in rooms)


def test_answers_are_those_of_the_table(chromium, study):
    table = pd.read_csv(study / "findings.tsv", sep="\t", keep_default_na=False)
    opened(chromium, study, "index")
    text = chromium.run("return document.body.textContent")
    asked = table[table["control"] == ""]
    # The page calls labels and templates what they are in this study.
    questions = asked["question"].str.replace(r"\blabel\b", "emotion", regex=True)
    questions = questions.str.replace(r"\btemplate(?=s?\b)", "sentence", regex=True)
    assert all(question in text for question in questions)
    cards = chromium.run("return [...document.querySelectorAll('.card h2')].map(one => one.textContent)")
    assert cards == questions[asked["primary"] == "primary"].tolist()
    assert chromium.run("return document.querySelectorAll('.card .control').length") >= 1


def test_figures_are_drawn(chromium, study):
    """Each once, where it is asked for, and as large as it can be read."""
    opened(chromium, study, "index")
    chromium.run("for (const closer of document.querySelectorAll('details')) closer.open = true;")
    sizes = chromium.run("""
        return [...document.querySelectorAll(".paper svg")].map(one => one.getBoundingClientRect().toJSON())
            .map(({width, height}) => [width, height])""")
    assert len(sizes) > 10
    assert np.min(sizes) > 100


def test_the_map_holds_the_studys_numbers(chromium, study):
    table = pd.read_csv(study / "discriminability/map.tsv", sep="\t")
    rows = table[(table["statistic"] == "cross-validated distance") & (table["over"] == "steps")]
    opened(chromium, study, "map")
    branches = chromium.run("return told.branches.map(one => one.name)")
    layers, steps = chromium.run("return [told.layers, told.seconds.length]")
    got = chromium.run("return Array.from(arrays['distance-value'], v => v === MISSING ? null : v / UNIT)")
    got = np.array(got, float).reshape(len(branches), len(layers), steps)
    places = [
        [names.index(one) for one in rows[column]]
        for names, column in ((branches, "branch"), (layers, "layer"))
    ]
    assert (got[places[0], places[1], rows["step"].to_numpy(int)] == rows["estimate"].to_numpy()).all()
    p = chromium.run(
        "return Array.from(arrays['distance-p'], i => i === NO_INDEX ? null : told.measures[0].numbers.p[i])"
    )
    p = np.array(p, float).reshape(got.shape)[places[0], places[1], rows["step"].to_numpy(int)]
    np.testing.assert_array_equal(p, rows["p_corrected"].to_numpy())


def test_clips_are_filtered_and_compared(chromium, study):
    opened(chromium, study, "listen")
    choose = """
        const box = document.querySelector('[data-filter="{}"]');
        box.value = "{}";
        box.dispatchEvent(new Event("change"));"""
    count = "return [...document.querySelectorAll('.player')].filter(one => one.offsetParent).length"
    assert chromium.run(count) == 8
    for key, value, left in (("label", "calm", 4), ("sentence", "band", 2), ("seed", "1", 1)):
        chromium.run(choose.format(key, value))
        assert chromium.run(count) == left
    for key in ("label", "sentence", "seed"):
        chromium.run(choose.format(key, ""))
    assert chromium.run(count) == 8
    chromium.run("for (const box of [...document.querySelectorAll('.compare')].slice(0, 3)) box.click()")
    assert chromium.run("return [...document.querySelectorAll('#rows .row')].length") == 2
    assert chromium.run("return [...document.querySelectorAll('a[download]')].length") == 8
    link = chromium.run("return document.querySelector('a[download]').getAttribute('href')")
    assert (study / link).is_file()


def test_the_pages_together_are_small(study):
    assert sum((study / f"{name}.html").stat().st_size for name in PAGES) < 6e6

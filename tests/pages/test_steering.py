"""The page of steered clips: each dose is there once, equally loud if asked; nothing is from elsewhere."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from markupsafe import Markup

from innerear.pages.figures import Figure
from innerear.pages.heading import Heading
from innerear.pages.steering import equal_gains, steering_page
from innerear.stacks import GramFile, open_layers

RATE, DOSES = 8000, (-0.5, -0.25, 0.0, 0.25, 0.5)
TEXTS = {"piano": "a <piano> piece", "band": "a band", "left out": "never"}


def write_sounds(folder, rng, seconds=1.0):
    """Write two layers' clips, louder with the dose; return paths, and waves by (template, layer, dose)."""
    paths, waves = [], {}
    for layer in (0, 3):
        audio = np.zeros((2, len(DOSES), int(seconds * RATE)), np.int16)
        for number, template in enumerate(("piano", "band")):
            for place, dose in enumerate(DOSES):
                untouched = waves.get((template, 0, 0.0)) if dose == 0 else None
                wave = (
                    rng.normal(0, 0.02 * 2 ** (4 * dose), audio.shape[-1]) if untouched is None else untouched
                )
                waves[template, layer, dose] = wave
                audio[number, place] = (np.clip(wave, -1, 1) * 32767).round()
        coords = {"template": np.array(["piano", "band"]), "dose": np.array(DOSES, np.float32)}
        coords["sample"] = np.arange(audio.shape[-1], dtype=np.int32)
        path = folder / f"layer_{layer}.h5"
        arrays = {"audio": (("template", "dose", "sample"), audio)}
        GramFile.write(path, arrays, coords, {"sample_rate": RATE, "layer": layer})
        paths.append(path)
    return paths, waves


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    paths, waves = write_sounds(tmp_path_factory.mktemp("sounds"), np.random.default_rng(0))
    with open_layers(paths) as files:
        heading = Heading(
            "study & more", "nano", 8, 4, {"Answers": "index.html", "Steering": "steering.html"}
        )
        figures = {
            "steering": Figure("steering", Markup("<svg id='figure-steering'/>"), "", Markup("Doses."))
        }
        text = steering_page(files, TEXTS, heading, poles=("calm", "energetic"), figures=figures)
        return text, waves


def sounds(text):
    """The attributes of every sound of a page."""
    return [
        dict(re.findall(r'data-(\w+)="([^"]*)"', one))
        for one in re.findall(r'<i hidden class="sound".*?>', text, re.S)
    ]


def test_every_dose_is_there_once_and_the_untouched_clip_for_all_layers(page):
    found = [(one["template"], one["layer"], float(one["dose"])) for one in sounds(page[0])]
    expected = {(template, "", 0.0) for template in ("piano", "band")}
    expected |= {
        (t, str(layer), dose) for t in ("piano", "band") for layer in (0, 3) for dose in DOSES if dose
    }
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_the_sound_is_that_of_its_dose(page):
    text, waves = page
    for one in sounds(text)[:6]:
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(one["ogg"])))
        own = waves[one["template"], int(one["layer"] or 0), float(one["dose"])]
        assert rate == RATE
        assert np.corrcoef(wave[: len(own)], own[: len(wave)])[0, 1] > 0.9


def test_gains_make_clips_equally_loud_and_none_clips():
    rng = np.random.default_rng(0)
    waves = [rng.normal(0, size, 4000) for size in (0.05, 0.1, 0.2)]
    gains = equal_gains(waves)
    sizes = [np.std(wave) * gain for wave, gain in zip(waves, gains, strict=True)]
    assert np.allclose(sizes, sizes[0], rtol=1e-3)
    loud = [np.array([0.01, 0.9, -0.01]), np.full(3, 0.5)]
    assert (
        max(np.abs(wave).max() * gain for wave, gain in zip(loud, equal_gains(loud), strict=True)) <= 1.0001
    )
    assert equal_gains([np.zeros(4), np.zeros(4)]) == [1.0, 1.0]
    assert equal_gains([np.zeros(4), np.full(4, 0.1)])[0] == 1.0


def test_words_are_escaped_and_nothing_comes_from_elsewhere(page):
    text, _ = page
    assert "a &lt;piano&gt; piece" in text
    assert "study &amp; more" in text
    assert "left out" not in text
    assert not re.search(r"https?://|src=|url\(", text)
    assert "default-src 'none'" in text


def test_the_page_is_one_of_the_study_s_rooms_and_holds_its_figures(page):
    text, _ = page
    assert '<a href="index.html">Answers</a>' in text
    assert re.search(r'<a href="steering.html" aria-current="page">Steering</a>', text)
    assert "<svg id='figure-steering'/>" in text
    assert "<figcaption>Doses.</figcaption>" in text

"""The listening test from page to scores: a perfect listener, a guessing one, and files that are refused."""

import base64
import json
import re
import time

import numpy as np
import pandas as pd
import pytest
import soundfile

from innerear.analyses.listening_test import ALL, intruders, scores
from innerear.errors import InputError
from innerear.pages.listening import listening_page, read_answers, read_key

from .recorder import Recorder, comparable
from .test_layout import axe_faults, reaching_out
from .test_site import PICTURES

RATE = 16000


@pytest.fixture(scope="session")
def asked(tmp_path_factory):
    """Page, key, index and trials of noise clips of two emotions in three templates."""
    folder, rng, rows = tmp_path_factory.mktemp("listening"), np.random.default_rng(0), []
    for template in ("piano", "band", "song"):
        for emotion in ("happy", "sad"):
            path = folder / f"{template}-{emotion}.wav"
            loud = rng.uniform(0.01, 0.5)
            wave = np.convolve(rng.normal(0, loud, 2 * RATE), np.ones(12) / 12, "same")
            soundfile.write(path, np.clip(wave, -1, 1), RATE)
            rows.append((f"{template}-{emotion}/seed-0", template, emotion, path))
    samples = pd.DataFrame(rows, columns=["sample_id", "template", "emotion", "audio"])
    made = intruders(samples, "emotion", each=8, rng=rng)
    page, key = listening_page(made, samples, rng)
    (folder / "page.html").write_text(page, encoding="utf-8")
    (folder / "key.json").write_text(key, encoding="utf-8")
    return folder, samples, made


def opened(browser, folder, name="page.html"):
    browser.open(folder / name)
    browser.run("localStorage.clear()")
    browser.open(folder / name)


def answer(browser, choices):
    """Answer with the keys, and return what the page saves."""
    for choice in choices:
        browser.run("document.body.focus()")
        browser.page.keyboard.press(f"Shift+Digit{choice + 1}")
        browser.page.keyboard.press("Enter")
    browser.run("window.made = null; file().then(text => { window.made = text; })")
    for _ in range(50):
        if text := browser.run("return window.made"):
            return text
        time.sleep(0.05)
    raise AssertionError("the page saved nothing")


def scored(folder, tmp_path, *texts):
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(text, encoding="utf-8")
    trials, page = read_key(folder / "key.json", folder / "page.html")
    return scores(trials, read_answers(paths, trials, page)).set_index("group")


def test_nothing_on_the_page_names_what_is_asked(asked):
    folder, _, made = asked
    text = re.sub(r'<script type="text/plain".*?</script>', "", (folder / "page.html").read_text())
    for word in ("happy", "sad", "piano", "band", "song", "seed", "shuffled", 'answer":', "control"):
        assert word not in text, word
    assert json.loads((folder / "key.json").read_text())["trials"][0]["answer"] == made[0].answer


def test_excerpts_are_equally_loud(asked):
    folder, *_ = asked
    blocks = re.findall(r'class="sound"[^>]*>([^<]+)<', (folder / "page.html").read_text())
    levels = []
    for number, block in enumerate(blocks):
        path = folder / f"one-{number}.ogg"
        path.write_bytes(base64.b64decode(block))
        levels.append(20 * np.log10(np.sqrt(np.mean(soundfile.read(path)[0] ** 2))))
    assert len(blocks) == 6
    assert np.ptp(levels) < 0.5


def test_a_perfect_and_a_guessing_listener_are_told_apart(chromium, asked, tmp_path):
    folder, _, made = asked
    rng = np.random.default_rng(4)
    opened(chromium, folder)
    perfect = answer(chromium, [trial.answer for trial in made])
    opened(chromium, folder)
    guess = answer(chromium, rng.integers(0, 4, len(made)).tolist())
    assert (
        json.loads(json.loads(perfect)["body"])["listener"]
        != json.loads(json.loads(guess)["body"])["listener"]
    )
    found = scored(folder, tmp_path, perfect)
    assert (found.loc[ALL, "right"], found.loc[ALL, "n_trials"]) == (16, 16)
    assert found.loc[ALL, "p"] < 1e-8
    assert scored(folder, tmp_path, guess).loc[ALL, "p"] > 0.01
    assert scored(folder, tmp_path, perfect, guess).loc[ALL, "n_listeners"] == 2


def test_answers_stay_in_the_browser_and_go_on(chromium, asked):
    folder, *_ = asked
    opened(chromium, folder)
    answer(chromium, [1, 2, 3])
    listener = chromium.run("return saved.listener")
    chromium.open(folder / "page.html")
    assert chromium.run("return [saved.listener, saved.answers.map(one => one.choice)]") == [
        listener,
        [1, 2, 3],
    ]
    assert "Question 4 of" in chromium.run("return document.getElementById('place').textContent")


def test_files_that_cannot_be_trusted_are_refused(chromium, asked, tmp_path):
    folder, samples, made = asked
    opened(chromium, folder)
    half = answer(chromium, [0] * 5)
    with pytest.raises(InputError, match=f"lacks {len(made) - 5} of {len(made)} answers"):
        scored(folder, tmp_path, half)
    whole = answer(chromium, [0] * (len(made) - 5))
    with pytest.raises(InputError, match="second file of listener"):
        scored(folder, tmp_path, whole, whole)
    tampered = whole.replace('\\"choice\\":0', '\\"choice\\":1', 1)
    assert tampered != whole
    with pytest.raises(InputError, match="was changed"):
        scored(folder, tmp_path, tampered)
    with pytest.raises(InputError, match="no file of answers"):
        scored(folder, tmp_path, "{}")
    page, key = listening_page(made[::-1], samples, np.random.default_rng(9))
    (folder / "other.html").write_text(page, encoding="utf-8")
    (folder / "other.json").write_text(key, encoding="utf-8")
    opened(chromium, folder, "other.html")
    other = answer(chromium, [0] * len(made))
    with pytest.raises(InputError, match="another page"):
        scored(folder, tmp_path, other)
    with pytest.raises(InputError, match="is not the key"):
        read_key(folder / "other.json", folder / "page.html")


def test_what_is_played_is_the_excerpt_from_its_start(chromium, asked):
    folder, samples, made = asked
    sounds = {}
    for name, path in zip(samples["sample_id"], samples["audio"], strict=True):
        sounds[name] = comparable(*soundfile.read(path))
    opened(chromium, folder)
    recorder = Recorder(chromium, sounds)
    for place in (2, 0):
        recorder.forget()
        chromium.press(str(place + 1))
        wanted = made[0].excerpts[place]
        found = recorder.listen_for(lambda one, wanted=wanted: one.clip == wanted)
        assert found[-1].start < 0.05


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits_is_quiet_and_can_be_read(chromium, asked, width):
    folder, *_ = asked
    chromium.resize(width, 900)
    opened(chromium, folder)
    PICTURES.mkdir(parents=True, exist_ok=True)
    chromium.screenshot(PICTURES / f"listening_{width}.png")
    assert reaching_out(chromium) == []
    assert not axe_faults(chromium)
    assert not chromium.messages()

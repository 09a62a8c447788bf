"""The listening test from page to scores: a perfect listener, a guessing one, and files that are refused."""

import base64
import json
import re
import time
from itertools import product

import numpy as np
import pandas as pd
import pytest
import soundfile
from fake_interventions import SteeredSounds

from innerear.analyses.listening_test import ALL, fewest_trials, scores
from innerear.analyses.listening_test.trials import (
    DETECTION,
    INTRUDER,
    LABEL,
    STEERING,
    Moments,
    feature_trials,
    label_trials,
    steered_sounds,
    steering_trials,
)
from innerear.errors import InputError
from innerear.io.clips import write_clip
from innerear.pages.listening import listening_page, read_answers, read_key, reader

from .recorder import Recorder, comparable
from .test_layout import axe_faults, reaching_out
from .test_site import PICTURES

RATE = 16000
TASKS = (LABEL, INTRUDER, DETECTION, STEERING)


def noise(rng):
    """Three seconds of noise, as loud as it happens to be."""
    wave = np.convolve(rng.normal(0, rng.uniform(0.01, 0.5), 3 * RATE), np.ones(12) / 12, "same")
    return np.clip(wave, -1, 1)


@pytest.fixture(scope="session")
def asked(tmp_path_factory):
    """The folder of page and key, what the page reads, and the trials: of all tasks, of clips of noise."""
    folder, rng, rows = tmp_path_factory.mktemp("listening"), np.random.default_rng(0), []
    for template, emotion, seed in product(("piano", "band", "song", "flute"), ("happy", "sad"), (0, 1)):
        path = folder / f"{template}-{emotion}-{seed}.wav"
        sha256 = write_clip(path, noise(rng), RATE)
        rows.append((f"{template}-{emotion}/seed-{seed}", template, emotion, path, sha256))
    samples = pd.DataFrame(rows, columns=["sample_id", "template", "emotion", "audio", "audio_sha256"])
    steered = {3: SteeredSounds(np.stack([noise(rng) for _ in range(10)]) * 32767, RATE)}
    names = samples["sample_id"].tolist()
    seconds = {name: [0.0, 1.0, 2.0] for name in names}
    moments = Moments(list(zip(names[::2], names[1::2], strict=True)), seconds, seconds)
    each = {INTRUDER: 3, DETECTION: 1}
    made = [
        *label_trials(samples, "emotion", each=8, rng=rng),
        *feature_trials({"one": moments, "two": moments}, {"of the twin": moments}, each=each, rng=rng),
        *steering_trials(steered, "energetic", each=4, rng=rng),
    ]
    read = reader(samples, steered_sounds(steered))
    page, key = listening_page(made, read, rng)
    (folder / "page.html").write_text(page, encoding="utf-8")
    (folder / "key.json").write_text(key, encoding="utf-8")
    return folder, read, made


def opened(browser, folder, name="page.html"):
    browser.open(folder / name)
    browser.run("localStorage.clear()")
    browser.open(folder / name)


def answer(browser, made, choices):
    """Answer the trials with the keys, and return what the page saves."""
    for trial, choice in zip(made, choices, strict=False):
        browser.run("document.body.focus()")
        browser.page.keyboard.press(f"Shift+Digit{len(trial.examples) + choice + 1}")
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
    return scores(trials, read_answers(paths, trials, page)).set_index(["task", "group"]).sort_index()


def test_nothing_on_the_page_names_what_is_asked(asked):
    folder, _, made = asked
    text = re.sub(r'<script type="text/plain".*?</script>', "", (folder / "page.html").read_text())
    for word in (
        "happy",
        "sad",
        "piano",
        "band",
        "song",
        "flute",
        "seed",
        "shuffled",
        'answer":',
        "control",
        "twin",
        "dose",
    ):
        assert word not in text, word
    assert read_key(folder / "key.json", folder / "page.html")[0] == made


def test_excerpts_are_equally_loud(asked):
    folder, _, made = asked
    blocks = re.findall(r'class="sound"[^>]*>([^<]+)<', (folder / "page.html").read_text())
    levels = []
    for number, block in enumerate(blocks):
        path = folder / f"one-{number}.ogg"
        path.write_bytes(base64.b64decode(block))
        levels.append(20 * np.log10(np.sqrt(np.mean(soundfile.read(path)[0] ** 2))))
    heard = {one for trial in made for one in (*trial.excerpts, *trial.examples)}
    assert len(blocks) == len(heard) > 16 + 11 * 4  # clips, excerpts, and steered clips
    assert np.ptp(levels) < 0.5


def test_a_perfect_and_a_guessing_listener_are_told_apart(chromium, asked, tmp_path):
    folder, _, made = asked
    rng = np.random.default_rng(4)
    opened(chromium, folder)
    perfect = answer(chromium, made, [trial.answer for trial in made])
    opened(chromium, folder)
    guess = answer(chromium, made, [int(rng.integers(len(trial.excerpts))) for trial in made])
    names = {json.loads(json.loads(text)["body"])["listener"] for text in (perfect, guess)}
    assert len(names) == 2
    found, guessed = scored(folder, tmp_path, perfect), scored(folder, tmp_path, guess)
    for task, n in zip(TASKS, (16, 6, 2, 4), strict=True):
        row = found.loc[task, ALL]
        assert (row["right"], row["n_trials"]) == (n, n)
        if n < fewest_trials(row["chance"]):
            assert np.isnan(row["p"]) and row["reason"] == f"{n} trials; a p takes 13"
        else:
            assert row["p"] == pytest.approx(row["chance"] ** n)
        assert not guessed.loc[(task, ALL), "p"] <= 0.01
    assert scored(folder, tmp_path, perfect, guess).loc[(LABEL, ALL), "n_listeners"] == 2


def test_answers_stay_in_the_browser_and_go_on(chromium, asked):
    folder, _, made = asked
    opened(chromium, folder)
    answer(chromium, made, [1, 2, 3])
    listener = chromium.run("return saved.listener")
    chromium.open(folder / "page.html")
    assert chromium.run("return [saved.listener, saved.answers.map(one => one.choice)]") == [
        listener,
        [1, 2, 3],
    ]
    assert "Question 4 of" in chromium.run("return document.getElementById('place').textContent")


def test_files_that_cannot_be_trusted_are_refused(chromium, asked, tmp_path):
    folder, read, made = asked
    opened(chromium, folder)
    half = answer(chromium, made, [0] * 5)
    with pytest.raises(InputError, match=f"lacks {len(made) - 5} of {len(made)} answers"):
        scored(folder, tmp_path, half)
    whole = answer(chromium, made[5:], [0] * len(made))
    with pytest.raises(InputError, match="second file of listener"):
        scored(folder, tmp_path, whole, whole)
    tampered = whole.replace('\\"choice\\":0', '\\"choice\\":1', 1)
    assert tampered != whole
    with pytest.raises(InputError, match="was changed"):
        scored(folder, tmp_path, tampered)
    with pytest.raises(InputError, match="no file of answers"):
        scored(folder, tmp_path, "{}")
    with pytest.raises(InputError, match="nothing to ask about"):
        listening_page([], read, np.random.default_rng(9))
    page, key = listening_page(made[::-1], read, np.random.default_rng(9))
    (folder / "other.html").write_text(page, encoding="utf-8")
    (folder / "other.json").write_text(key, encoding="utf-8")
    opened(chromium, folder, "other.html")
    other = answer(chromium, made[::-1], [0] * len(made))
    with pytest.raises(InputError, match="another page"):
        scored(folder, tmp_path, other)
    with pytest.raises(InputError, match="is not the key"):
        read_key(folder / "other.json", folder / "page.html")


@pytest.mark.parametrize("task", [LABEL, DETECTION, STEERING])
def test_what_is_played_is_the_excerpt_from_its_start(chromium, asked, task):
    folder, read, made = asked
    number, trial = next((i, one) for i, one in enumerate(made) if one.task == task)
    pieces = [*trial.examples, *trial.excerpts]
    sounds = {
        name: comparable(*read(name)) for name in {one.clip for trial in made for one in trial.excerpts}
    }
    opened(chromium, folder)
    chromium.run(f"go({number})")
    recorder = Recorder(chromium, sounds)
    for place in (len(pieces) - 1, 0):
        recorder.forget()
        chromium.press(str(place + 1))
        found = recorder.listen_for(lambda one, wanted=pieces[place].clip: one.clip == wanted)
        assert abs(found[-1].start - pieces[place].start) < 0.05


def test_examples_cannot_be_chosen(chromium, asked):
    folder, _, made = asked
    number = next(i for i, one in enumerate(made) if one.task == DETECTION)
    opened(chromium, folder)
    chromium.run(f"go({number})")
    for key in ("Shift+Digit1", "Shift+Digit2", "Shift+Digit5"):
        chromium.press(key)
    assert chromium.run("return saved.answers") == []
    said = chromium.run("return [...document.querySelectorAll('kbd')].map(key => key.textContent)")
    assert said[:5] == ["1", "4", "Shift", "3", "4"]
    chromium.press("Shift+Digit4")
    assert chromium.run("return saved.answers.map(({trial, choice}) => [trial, choice])") == [[number, 1]]


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("task", [LABEL, DETECTION])
def test_the_page_fits_is_quiet_and_can_be_read(chromium, asked, width, task):
    folder, _, made = asked
    chromium.resize(width, 900)
    opened(chromium, folder)
    chromium.run(f"go({[one.task for one in made].index(task)})")
    PICTURES.mkdir(parents=True, exist_ok=True)
    chromium.screenshot(PICTURES / f"listening_{task}_{width}.png")
    assert reaching_out(chromium) == []
    assert not axe_faults(chromium)
    assert not chromium.messages()

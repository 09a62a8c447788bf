"""The browsers that are installed, and pages to open in them."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_likelihood import write_likelihood
from markupsafe import Markup
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from innerear.analyses.discriminability import DISTANCE, EVIDENCE
from innerear.analyses.similarity import CENTRED, OTHER_SEED
from innerear.io.clips import write_clip
from innerear.pages.clips import clips_page
from innerear.pages.counterfactual import counterfactual_page
from innerear.pages.figures import Figure
from innerear.pages.heading import Heading
from innerear.pages.map_page import Firing, map_page
from innerear.stacks import GramFile

from .chromium import Chromium
from .firefox import Firefox
from .recorder import comparable

SECONDS = 5
#: samples a second and channels of each clip
FORMATS = {"t-calm": (16000, 1), "t-sad": (32000, 1), "u-calm": (32000, 2), "u-sad": (16000, 1)}


#: layers, branches and steps of the made-up map
LAYERS, BRANCHES, STEPS = (0, 3, 5), ("cond", "uncond", "delta"), 253
#: a figure of the workflow's, in short
SHARES = Figure(
    "shares",
    Markup('<svg viewBox="0 0 9 6" role="img" aria-label="shares"><path d="M0 6L9 0"/></svg>'),
    "0 0 9 6",
    Markup("Shares <i>of</i> the variance."),
)


@dataclass
class Pages:
    """A page for each name, each clip's sound by sample id (see `comparable`), and what the map holds."""

    paths: dict[str, Path]
    clips: dict[str, NDArray]
    tables: dict[str, pd.DataFrame]
    features: list[Firing]


@pytest.fixture(scope="session")
def pages(tmp_path_factory) -> Pages:
    """Pages of made-up clips: noise, which sounds like nothing but itself."""
    folder, rng = tmp_path_factory.mktemp("pages"), np.random.default_rng(0)
    rows, clips = [], {}
    for prompt, (rate, channels) in FORMATS.items():
        # Low noise is alike at half a sample's distance.
        low = butter(4, 1000, fs=rate, output="sos")
        wave = sosfilt(low, rng.normal(0, 0.3, (SECONDS * rate, channels)), axis=0)
        sha256 = write_clip(path := folder / f"{prompt}.wav", wave, rate)
        clips[f"{prompt}/seed-0"] = comparable(wave, rate)
        template, _, emotion = prompt.partition("-")
        text = f"a {emotion} piece for <strings>"
        rows.append((f"{prompt}/seed-0", prompt, template, emotion, text, 0, path, sha256, ""))
    columns = ["sample_id", "prompt_id", "template", "emotion", "text", "seed", "audio", "audio_sha256"]
    samples = pd.DataFrame(rows, columns=[*columns, "recording"])
    rooms = {"Map": "map.html", "Clips": "listen.html", "Text or history": "counterfactual.html"}
    heading = Heading("noise", "made up", len(samples), len(samples), rooms)
    sheet = clips_page(
        samples,
        heading,
        clips=_features(samples["sample_id"]),
        chroma=rng.uniform(size=(len(samples), 12, 250)),
        norms=rng.normal(size=(len(samples), 3, 253)),
    )
    write_likelihood(folder / "likelihood.h5")
    with GramFile(folder / "likelihood.h5") as likelihood:
        other = counterfactual_page(
            samples, likelihood, heading, figures={"shares": SHARES}, templates=["t", "u"]
        )
    tables = made_up_maps(rng)
    grams = {layer: MadeUpGram(rng, len(samples)) for layer in LAYERS}
    mel = [rng.uniform(-60, 0, (64, 250)) for _ in clips]
    codes = rng.integers(0, 256, (len(samples), 4, 250))
    fires = np.maximum(0, rng.uniform(-20, 9, (2, len(samples), 247)))
    features = [Firing(3, 17, True, fires[0]), Firing(5, 4, False, fires[1])]
    where = map_page(samples, heading, tables=tables, grams=grams, mel=mel, codes=codes, features=features)
    untested = {name: table.assign(estimate=np.nan) for name, table in tables.items()}
    nothing = map_page(samples, heading, tables=untested, grams=grams, mel=mel)
    texts = {"listen": sheet, "counterfactual": other, "map": where, "map_of_nothing": nothing}
    paths = {name: folder / f"{name}.html" for name in texts}
    for name, path in paths.items():
        path.write_text(texts[name], encoding="utf-8")
    return Pages(paths, clips, tables, features)


class MadeUpGram:
    """What the map reads of a layer's Gram file: its steps, and means of 10 time bins of N clips."""

    def __init__(self, rng, n):
        start = np.arange(3, 250, 25)[:10]
        self.arrays = {
            "bin_start": start,
            "bin_steps": np.diff([*start, 250]),
            "seconds": np.arange(STEPS) / 50,
            "complete": (np.arange(STEPS) >= 3) & (np.arange(STEPS) < 250),
            "bin_mean": rng.normal(size=(len(BRANCHES), 10, n, 6)),
        }

    def labels(self, axis):
        return list(BRANCHES)

    def coords(self, axis):
        return np.arange(STEPS)

    def __contains__(self, name):
        return name in self.arrays

    def read(self, name, branch=None):
        found = self.arrays[name]
        return found if branch is None else found[BRANCHES.index(branch)]


def made_up_maps(rng) -> dict[str, pd.DataFrame]:
    """Return tables of the map, each cell's numbers its own; history has no uncond and no delta."""
    kinds = [
        ("discriminability", DISTANCE, "", BRANCHES),
        ("discriminability", EVIDENCE, "", BRANCHES),
        ("similarity", OTHER_SEED, CENTRED, BRANCHES),
        ("decomposition", "text", "", ("cond",)),
        ("decomposition", "history", "", ("cond",)),
    ]
    rows: dict[str, list] = {"discriminability": [], "similarity": [], "decomposition": []}
    for table, statistic, measure, branches in kinds:
        for branch, layer, step in product(branches, LAYERS, range(3, 250)):
            value = float(np.round(rng.normal(0.3, 0.4), 6))
            ends = [float(np.round(value + side, 6)) for side in (-rng.uniform(0, 1), rng.uniform(0, 1))]
            p, flip = rng.integers(1, 120) / 1001, rng.integers(1, 512) / 512
            where = (layer, branch, "steps", step, step / 50, statistic, measure, "trained")
            rows[table].append((*where, value, *ends, p, flip if rng.uniform() > 0.1 else np.nan))
    columns = ["layer", "branch", "over", "step", "seconds", "statistic", "measure", "weights"]
    columns += ["estimate", "ci_lo", "ci_hi", "p_corrected", "p_flip_corrected"]
    return {name: pd.DataFrame(own, columns=columns) for name, own in rows.items()}


def _features(samples) -> pd.DataFrame:
    """Return a table with every measure that a page shows."""
    values = {"tempo": 120.0, "loudness": -20.0, "centroid": np.nan, "majorness": -0.2}
    rows = [
        (sample, feature, value, "" if np.isfinite(value) else "silent")
        for sample in samples
        for feature, value in values.items()
    ]
    return pd.DataFrame(rows, columns=["sample_id", "feature", "value", "reason"])


@pytest.fixture(scope="session")
def chromium():
    """An open window of Chromium."""
    program = _program("chromium")
    library = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with library.sync_playwright() as playwright:
        window = Chromium(playwright, program)
        yield window
        window.close()


@pytest.fixture(scope="session")
def sound_card(tmp_path_factory):
    """Return the environment of a sound card that does not exist: without one, Firefox plays nothing."""
    program = _program("pulseaudio")
    folder = tmp_path_factory.mktemp("sound")
    folder.chmod(0o700)
    socket, log = folder / "socket", folder / "log"
    environment = os.environ | {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    command = [program, "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm"]
    for module in ("module-null-sink", f"module-native-protocol-unix socket={socket} auth-anonymous=1"):
        command += ["-L", module]
    with log.open("w") as lines:
        card = subprocess.Popen(command, stdout=lines, stderr=lines, env=environment)
    try:
        while not socket.exists():
            assert card.poll() is None, log.read_text()
            time.sleep(0.1)
        yield environment | {"PULSE_SERVER": f"unix:{socket}"}
    finally:
        card.terminate()
        card.wait()


@pytest.fixture(scope="session")
def firefox(sound_card, tmp_path_factory):
    """An open window of Firefox."""
    program = _program("firefox-esr", "firefox")
    window = Firefox(program, tmp_path_factory.mktemp("firefox") / "profile", sound_card)
    yield window
    window.close()


@pytest.fixture(params=["chromium", "firefox"])
def browser(request):
    """Each browser in turn, as wide as a desk's."""
    window = request.getfixturevalue(request.param)
    window.resize(1440, 900)
    return window


def _program(*names: str) -> str:
    """Return the path of a program; skip what needs it where it is not."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or pytest.skip(f"{names[0]} is not installed: apt-get install {names[0]}")

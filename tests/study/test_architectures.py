"""Names of models: what they stand for, what runs, and what is refused before any job."""

import re
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from innerear.errors import InputError
from innerear.study.architectures import (
    HUB_MODELS,
    KNOWN,
    Architecture,
    architecture_of,
    check_architecture,
    display_name,
    hub_id,
)
from innerear.study.study import Study

from .conftest import SCHEMA, checkpoint


@pytest.mark.parametrize(
    ("name", "n_layers", "d_model", "n_codebooks", "sample_rate", "seconds", "crossed", "channels"),
    [
        ("small", 24, 1024, 4, 32000, 30, True, 1),
        ("facebook/musicgen-melody-large", 48, 2048, 4, 32000, 30, False, 1),
        ("musicgen-stereo-medium", 48, 1536, 8, 32000, 30, True, 2),
        ("stereo-melody", 48, 1536, 8, 32000, 30, False, 2),
        ("audiogen-medium", 48, 1536, 4, 16000, 10, True, 1),
    ],
)
def test_families_have_the_published_shapes(
    name, n_layers, d_model, n_codebooks, sample_rate, seconds, crossed, channels
):
    shape = architecture_of(name)
    assert (shape.n_layers, shape.d_model, shape.n_codebooks) == (n_layers, d_model, n_codebooks)
    assert (shape.sample_rate, shape.max_duration, shape.frame_rate) == (sample_rate, seconds, 50)
    assert (shape.cross_attention, shape.channels) == (crossed, channels)
    assert shape.timeline(3, 0.6).n_steps == 153  # of every family: the last codebook is 3 steps late


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("facebook/musicgen-style", "MusicGen-Style.*three branches"),
        ("facebook/magnet-small-10secs", "MAGNeT.*not autoregressive"),
        ("facebook/audio-magnet-medium", "MAGNeT.*not autoregressive"),
        ("magnet-medium-30secs", "MAGNeT.*not autoregressive"),
        ("facebook/jasco-chords-drums-melody-1B", "JASCO.*flow matching"),
    ],
)
def test_other_families_are_refused_when_the_study_is_read(settings, name, reason):
    settings["model"] = {"name": name}
    with pytest.raises(InputError, match=rf"model\.name: '{name}' is {reason}"):
        Study.from_settings(settings, SCHEMA)


def test_a_folder_comes_before_the_hub(tmp_path, monkeypatch):
    assert hub_id("facebook/musicgen-small") == "facebook/musicgen-small"
    (tmp_path / "facebook" / "musicgen-small").mkdir(parents=True)
    (tmp_path / "magnet-mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert hub_id("facebook/musicgen-small") is None
    assert hub_id("musicgen-small") == "facebook/musicgen-small"
    assert architecture_of("facebook/musicgen-small") == HUB_MODELS["facebook/musicgen-small"]
    assert architecture_of("facebook/musicgen-small", {"n_layers": 2, "d_model": 8}).n_layers == 2
    assert architecture_of("magnet-mine", {"n_layers": 2, "d_model": 8}).n_layers == 2


@pytest.mark.parametrize("name", ["{here}/my-model", "{here}/my-model/", "my-model", "../x/my-model"])
def test_a_directory_is_named_without_its_path(tmp_path, monkeypatch, name):
    (tmp_path / "x" / "my-model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "x")
    assert display_name(name.format(here=tmp_path / "x")) == "my-model"
    assert display_name(name, "mine") == "mine"


def test_a_study_names_its_model_without_its_path(settings, tmp_path):
    settings["model"] = {"name": checkpoint(tmp_path / "my-model"), "architecture": "nano"}
    study = Study.from_settings(settings, SCHEMA)
    assert (study.model, study.hub_model) == ("my-model", None)
    assert str(tmp_path) not in study.announcement
    settings["model"]["label"] = "mine (v2)"
    assert Study.from_settings(settings, SCHEMA).model == "mine (v2)"
    settings["model"] = {"name": "stereo-small", "revision": "main"}
    assert Study.from_settings(settings, SCHEMA).hub_model == "facebook/musicgen-stereo-small"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "checkpoints/none", "architecture": "nano"}, r"'checkpoints/none' does not exist"),
        ({"name": "nano", "revision": "main"}, r"model\.revision: 'main' is for models of the hub"),
        ({"name": "nano", "label": "=1+1"}, r"model\.label"),
        ({"name": "nano", "label": "two\nlines"}, r"model\.label"),
        ({"name": "nano", "label": "line\n"}, r"model\.label"),
        ({"name": "small", "revision": ""}, r"model\.revision"),
        ({"name": "small", "revision": "-x"}, r"model\.revision"),
        ({"name": ".", "architecture": {"n_layers": 2, "d_model": 8, "delays": [0]}}, "do not fit 4"),
    ],
)
def test_models_that_cannot_be_used_are_refused_when_the_study_is_read(settings, model, message):
    settings["model"] = model
    with pytest.raises(InputError, match=message):
        Study.from_settings(settings, SCHEMA)


def test_a_clip_without_a_frame_says_how_long_it_must_be(settings):
    settings["generation"]["duration"] = 0.01
    with pytest.raises(InputError, match=r"duration: 0\.01 s holds no codec frame; use at least 0\.02 s"):
        Study.from_settings(settings, SCHEMA)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_duration": 20.0}, r"max_duration = 30, but mine has 20; write max_duration: 20 there"),
        ({"cross_attention": False}, r"cross_attention = true, but mine has false"),
        ({"n_codebooks": 8, "delays": (0, 0, 1, 1, 2, 2, 3, 3)}, r"n_codebooks = 4, but mine has 8"),
        ({"delays": (0, 1, 2, 4)}, r"delays = \[0, 1, 2, 3\], but mine has \[0, 1, 2, 4\]"),
    ],
)
def test_a_loaded_model_is_compared_in_all_that_the_estimate_uses(changed, message):
    assumed = Architecture(3, 32)
    actual = asdict(assumed) | changed
    model = SimpleNamespace(name="mine", has_cross_attention=actual["cross_attention"], **actual)
    with pytest.raises(InputError, match=rf"model\.architecture says {message}"):
        check_architecture(model, assumed)
    check_architecture(model, Architecture(**actual))


def test_a_declared_window_changes_the_estimate(settings, tmp_path):
    sizes = []
    for numbers in ({}, {"max_duration": 2}):
        settings["model"] = {
            "name": checkpoint(tmp_path / "mine"),
            "architecture": {"n_layers": 3, "d_model": 32, "sample_rate": 1600, **numbers},
        }
        sizes.append(Study.from_settings(settings, SCHEMA).estimate)
    # In windows of 2 s a clip of 4 s takes 100 + 100 + 80 frames, and 3 steps more each.
    assert [size.n_steps for size in sizes] == [203, 289]
    assert sizes[1].stack_bytes > 1.3 * sizes[0].stack_bytes


@pytest.mark.parametrize(
    ("stride", "duration", "why", "least"),
    [
        (1e-9, 40, "1e-09 of a window of 1,500 codec frames is less than one frame", 0.000667),
        (6e-4, 40, "0.0006 of a window of 1,500 codec frames is less than one frame", 0.000667),
        (1e-3, 600, "0.001 of a window makes more than 1,000 windows of 600 s", 0.019334),
        (1e-9, 600, "1e-09 of a window of 1,500 codec frames is less than one frame", 0.019334),
        (1 - 1e-10, 40, "0.9999999999 of a window of 1,500 codec frames leaves none to read again", 0.000667),
    ],
)
def test_a_stride_that_cuts_no_windows_is_told_what_does(stride, duration, why, least):
    small = KNOWN["facebook/musicgen-small"]
    said = re.escape(f"generation.stride: {why}; use a share from {least:g} to 0.999333, or shorter clips")
    with pytest.raises(InputError, match=f"^{said}$"):
        small.timeline(duration, stride)
    assert len(small.timeline(duration, least).windows) <= 1001
    assert len(small.timeline(duration, 0.999333).windows) > 1


def test_a_window_of_one_frame_cannot_be_read_again():
    with pytest.raises(
        InputError, match=r"generation\.stride: 0\.6 .* nor does any share do; use shorter clips"
    ):
        Architecture(2, 8, max_duration=0.02).timeline(1, 0.6)

"""Figures of the clips: every value that exists is drawn, every one that does not is counted."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fakes import sheet

from innerear.acoustics.frame_files import frame_files, write_frames
from innerear.figures.acoustics import draw, features_by_emotion
from innerear.figures.drawing.style import palette, save
from innerear.figures.samples import GAP, spectrogram_sheet

EMOTIONS, TEMPLATES, SEEDS = ("happy", "sad"), ("piano", "band", "guitar"), (0, 1)


@pytest.fixture
def samples():
    return sheet(TEMPLATES, SEEDS, EMOTIONS)


@pytest.fixture
def clips(samples):
    """Values 10, 11, 12 … in the order of the samples; band-sad has no tempo."""
    tables = []
    for name, unit in (("tempo", "BPM"), ("flux", "")):
        values = 10.0 + np.arange(len(samples))
        valid = ~((name == "tempo") & (samples["prompt_id"] == "band-sad")).to_numpy()
        tables.append(
            pd.DataFrame(
                {
                    "sample_id": samples["sample_id"],
                    "feature": name,
                    "unit": unit,
                    "value": np.where(valid, values, np.nan),
                    "valid": valid,
                    "reason": np.where(valid, "", "no pulse"),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def drawn(axes, size):
    """Heights of the marks of one size, by colour."""
    found = {}
    for line in axes.lines:
        if line.get_markersize() == size:
            found.setdefault(line.get_color(), []).extend(np.atleast_1d(line.get_ydata()).tolist())
    return found


def test_clips_and_prompt_means_are_drawn_in_the_emotions_colour(clips, samples):
    figure = features_by_emotion(clips, samples, model="nano")
    tempo, flux = figure.axes[:2]
    assert [tempo.get_title(), flux.get_title()] == ["tempo (BPM)", "flux"]
    colours = palette(EMOTIONS)
    assert drawn(flux, 3)[colours["happy"]] == [10, 11, 12, 13, 14, 15]
    assert drawn(flux, 6)[colours["happy"]] == [10.5, 12.5, 14.5]
    assert drawn(tempo, 3)[colours["sad"]] == [16, 17, 20, 21]
    assert drawn(tempo, 6)[colours["sad"]] == [16.5, 20.5]


def test_clips_without_a_value_are_counted_where_they_are_missing(clips, samples):
    tempo, flux = features_by_emotion(clips, samples, model="nano").axes[:2]
    assert [(text.get_position()[0], text.get_text()) for text in tempo.texts] == [(1, "2 of 6\nno value")]
    assert not flux.texts


def test_title_names_the_model_and_n(clips, samples):
    title = features_by_emotion(clips, samples, model="nano").get_suptitle()
    assert "nano" in title
    assert "6 prompts, 2 seeds, 12 clips" in title


def test_an_emotion_without_any_value_is_drawn_empty(clips, samples, tmp_path):
    clips["valid"] &= ~clips["sample_id"].str.contains("sad")
    figure = features_by_emotion(clips[clips["feature"] == "tempo"], samples, model="nano")
    assert set(drawn(figure.axes[0], 3)) == {palette(EMOTIONS)["happy"]}
    save(figure, tmp_path / "figure.svg", tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_spectrograms_stand_by_emotion_prompt_and_seed(samples, tmp_path):
    images = [np.full((5, 7), -number, np.float32) for number in range(len(samples))]
    figure = spectrogram_sheet(samples, images, model="nano", seconds=5)
    happy, sad = figure.axes[:2]
    assert [happy.get_title(loc="left"), sad.get_title(loc="left")] == ["happy", "sad"]
    for axes, first in ((happy, 0), (sad, 6)):
        mosaic = axes.images[0].get_array()
        cells = mosaic[:: 5 + GAP, :: 7 + GAP]
        np.testing.assert_array_equal(cells, -(first + np.arange(6).reshape(3, 2)))
        assert [label.get_text() for label in axes.get_yticklabels()] == list(TEMPLATES)
        assert axes.images[0].get_clim() == (-60, 0)
    save(figure, tmp_path / "sheet.png")


def test_spectrograms_have_low_frequencies_below(samples):
    image = np.repeat(np.arange(5.0)[:, None], 7, axis=1)
    mosaic = (
        spectrogram_sheet(samples, [image] * len(samples), model="", seconds=5).axes[0].images[0].get_array()
    )
    assert mosaic[:5, 0].tolist() == [4, 3, 2, 1, 0]


def test_more_prompts_and_seeds_than_fit_are_said_to_be_left_out():
    figure = spectrogram_sheet(sheet(15, 10, ("calm",)), [np.zeros((2, 2))] * 150, model="nano", seconds=5)
    assert "at most 12 of 15 prompts and 8 of 10 seeds" in figure.get_suptitle()
    assert len(figure.axes[0].get_yticks()) == 12


def test_both_figures_are_drawn_from_the_files_of_frames(clips, samples, tmp_path):
    ids = samples["sample_id"].tolist()
    images = np.arange(len(ids), dtype=np.float32)[:, None, None] * np.ones((5, 7), np.float32)
    mel = (("sample", "band", "column"), images)
    write_frames(
        xr.Dataset({"mel": mel}, {"sample": ids}).isel(sample=slice(None, None, -1)), tmp_path / "f.nc"
    )
    frames = frame_files([tmp_path / "f.nc"])
    figures = draw(samples, clips, frames, model="nano", contrast="emotion", seconds=5)
    assert list(figures) == ["acoustic_features", "spectrograms"]
    mosaic = figures["spectrograms"].axes[0].images[0].get_array()
    np.testing.assert_array_equal(mosaic[:: 5 + GAP, :: 7 + GAP], np.arange(6).reshape(3, 2))


def test_seeds_of_each_template_alone_share_the_columns(samples):
    number = samples["template"].map({name: 2 * i for i, name in enumerate(TEMPLATES)})
    own = samples.assign(seed=samples["seed"] + number)
    images = [np.full((5, 7), i, np.float32) for i in range(len(own))]
    axes = spectrogram_sheet(own, images, model="", seconds=5).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        f"seed {i} of its template" for i in (1, 2)
    ]
    shared = spectrogram_sheet(samples, images, model="", seconds=5).axes[0]
    assert [text.get_text() for text in shared.get_xticklabels()] == ["seed 0", "seed 1"]
    for one in (axes, shared):
        mosaic = one.images[0].get_array()
        np.testing.assert_array_equal(mosaic[:: 5 + GAP, :: 7 + GAP], np.arange(6).reshape(3, 2))

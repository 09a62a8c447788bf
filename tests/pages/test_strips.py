"""The strips of a clip: each shows what it was given, and all have one time axis."""

import base64
import io

import numpy as np
import pytest
from fakes import Measured, make_design
from PIL import Image

from innerear.errors import InputError
from innerear.pages.strips import GREY, by_frame, png, spread, state_norms, strips, ticks
from innerear.pages.templates import fill

K, T = 4, 40
S = T + K - 1


def picture(uri):
    head, data = uri.split(",", 1)
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def complete():
    step = np.arange(S)
    return (step >= K - 1) & (step < T)


def test_norms_are_the_lengths_of_the_states_relative_to_their_median(complete):
    rng = np.random.default_rng(0)
    design = make_design(n_seeds=1, emotions=("happy", "sad"))
    states = [100 + 5 * rng.normal(size=(10, 2, S, 8)), 3 * rng.normal(size=(10, 2, S, 8))]
    grams = {layer: Measured(x, design, pads=K - 1) for layer, x in enumerate(states)}
    norms = state_norms(grams)
    assert norms.shape == (10, 2, S)
    assert np.isnan(norms[:, :, ~complete]).all()
    for layer, x in enumerate(states):
        length = np.linalg.norm(x[:, 1], axis=-1)[:, complete]  # uncond
        expected = 20 * np.log10(length / np.median(length))
        np.testing.assert_allclose(norms[:, layer, complete], expected, atol=2e-3)


def test_a_frame_shows_the_step_after_which_it_is_whole():
    frames = by_frame(np.arange(S), T)
    assert frames.tolist() == list(range(K - 1, S))
    with pytest.raises(InputError, match="3 steps are fewer than 4 frames"):
        by_frame(np.zeros(3), 4)


def test_a_strip_has_row_0_at_the_bottom_and_grey_gaps():
    values = np.array([[0.0, 1.0], [1.0, np.nan]])
    image = picture(png(values, "Greys", rows=3))
    assert image.shape == (6, 2, 3)
    white, black = image[5, 0].min(), image[5, 1].max()
    assert white > 250 > 5 > black
    assert image[0, 0].max() == black
    assert (image[0, 1] == GREY).all()


def test_all_strips_of_a_clip_run_from_its_beginning_to_its_end(complete):
    """A clip that begins in silence and ends loud, on C: each strip is at its end where the clip is."""
    rate, half = 8000, T // 2
    wave = np.r_[np.zeros(half * rate // 50), np.sin(np.arange(half * rate // 50))]
    mel = np.full((6, T), -90.0)
    mel[:, half:] = 0
    chroma = np.full((12, T), np.nan)
    chroma[:, half:] = 0
    chroma[0, half:] = 1
    norms = np.where(np.arange(T) < half, -2.0, 2.0)[None]
    drawn = {name: picture(uri) for name, uri in strips(wave, mel, chroma, norms, top=0, span=2).items()}
    assert list(drawn) == ["waveform", "mel spectrogram", "pitch classes", "layers"]
    for image in drawn.values():
        middle = image.shape[1] // 2
        before, after = image[:, : middle - 1].astype(float), image[:, middle + 1 :].astype(float)
        assert np.abs(before.mean(axis=(0, 1)) - after.mean(axis=(0, 1))).max() > 20
        assert before.std(axis=1).max() < after.mean()  # nothing happens in the silent half
    assert (drawn["pitch classes"][:, : half - 1] == GREY).all()
    assert drawn["pitch classes"][-1, -1].sum() > drawn["pitch classes"][0, -1].sum()  # C at the bottom
    red, blue = drawn["layers"][0, -1], drawn["layers"][0, 0]
    assert red[0] > red[2] and blue[2] > blue[0]


def test_a_long_clip_is_no_wider_than_a_page():
    assert picture(png(np.random.default_rng(1).uniform(size=(3, 9000)))).shape[1] == 640


def test_one_scale_serves_all_clips():
    norms = np.array([[np.nan, 0, 1, -2]])
    assert spread(norms) == pytest.approx(2, abs=0.05)
    assert spread(np.full((2, 2), np.nan)) == spread(np.zeros((2, 2))) == 1


def test_strips_are_folded_and_named():
    clip = {"name": "a-sad/seed-0", "strips": {"waveform": png(np.eye(2))}, "ticks": ticks(4.0)}
    text = fill("strips.html", clip=clip)
    assert text.startswith("<details><summary>")
    assert 'alt="waveform of a-sad/seed-0"' in text
    for left, second in ((0, 0), (25, 1), (87.5, 3.5)):
        assert f'data-place="{left:.2f}%">{second:g}<' in text

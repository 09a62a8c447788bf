"""Frame features stand on codec frames, and say what they lack."""

import numpy as np
import pytest
from fake_sounds import C_MINOR, RATE, notes, tone

from innerear.acoustics.frames import frame_features
from innerear.errors import InputError


@pytest.mark.parametrize(
    ("rate", "frame_rate", "frames"), [(16000, 50, 153), (32000, 50, 100), (24000, 75, 120)]
)
def test_frames_are_as_many_as_the_codec_has(rate, frame_rate, frames):
    wave = tone(440, frames / frame_rate, rate).astype(np.float32)
    table = frame_features(wave, rate, frame_rate, frames)
    assert table["value"].dims == ("feature", "frame")
    assert table.sizes["frame"] == frames
    assert np.isfinite(table["value"].sel(feature="centroid")).all()
    # Six harmonics of weight 1/k: sum(k/k) / sum(1/k) times the fundamental.
    middle = float(table["value"].sel(feature="centroid").median())
    assert middle == pytest.approx(440 * 6 / 2.45, rel=0.02)


@pytest.mark.parametrize("frame", [20, 51, 100])
def test_a_frame_stands_on_its_codec_frame(frame):
    wave = np.zeros(125 * 320, np.float32)
    wave[frame * 320 : (frame + 1) * 320] = np.hanning(320) * np.sin(np.arange(320))
    table = frame_features(wave, RATE, 50, 125)
    assert int(table["value"].sel(feature="rms").fillna(-200).argmax()) in (frame - 1, frame, frame + 1)
    # Windows are centred: as much before the frame as after it.
    measured = np.flatnonzero(np.isfinite(table["value"].sel(feature="centroid")))
    assert measured.mean() == frame
    assert float(table["seconds"][frame]) == pytest.approx((frame + 0.5) / 50)


def test_silent_frames_have_no_timbre_and_rises_mark_onsets():
    wave = np.concatenate([np.zeros(RATE), tone(440, 1.0)]).astype(np.float32)
    table = frame_features(wave, RATE, 50, 100)["value"]
    assert np.isnan(table.sel(feature=["centroid", "chroma_A", "tonnetz_fifths_x"])[:, :40]).all()
    assert np.isfinite(table.sel(feature="chroma_A")[60:]).all()
    assert table.sel(feature="chroma_A")[70] > 0.5
    assert int(table.sel(feature="onset_strength").fillna(0).argmax()) in range(47, 52)


def test_a_silent_clip_has_no_frames_and_says_why():
    table = frame_features(np.zeros(RATE, np.float32), RATE, 50, 50)
    assert np.isnan(table["value"]).all()
    assert set(table["reason"].values) == {"silent: below -70 dBFS"}


def test_frames_of_a_short_or_a_clipped_clip_say_what_they_lack():
    short = frame_features(tone(440, 0.3).astype(np.float32), RATE, 50, 15)
    assert np.isfinite(short["value"].sel(feature="rms")).all()
    others = short.drop_sel(feature="rms")
    assert np.isnan(others["value"]).all()
    assert all("0.30 s is shorter than" in reason for reason in others["reason"].values)
    clipped = frame_features(np.clip(30 * tone(440, 2.0), -1, 1).astype(np.float32), RATE, 50, 100)
    assert str(clipped["reason"].sel(feature="centroid").values).startswith("clipped: ")
    assert clipped["reason"].sel(feature="chroma_A") == ""


def test_frames_too_know_neither_dc_nor_a_second_equal_channel():
    wave = notes(110, C_MINOR, seconds=2.0)[0].astype(np.float32)
    mono = frame_features(wave, RATE, 50, 100)["value"]
    for other in (wave + np.float32(0.3), np.stack([wave, wave])):
        np.testing.assert_allclose(frame_features(other, RATE, 50, 100)["value"], mono, rtol=0.01, atol=0.02)


def test_frames_follow_a_change_of_pitch_level_and_brightness():
    first, second = tone(440, 1.0, harmonics=1), 0.1 * tone(2 * 554.37, 1.0, harmonics=1)  # A, then C sharp
    table = frame_features(np.concatenate([first, second]).astype(np.float32), RATE, 50, 100)["value"]
    rms, centroid, a, c = table.sel(feature=["rms", "centroid", "chroma_A", "chroma_C#"]).values
    assert rms[20] - rms[80] == pytest.approx(20, abs=0.1)
    assert [centroid[20], centroid[80]] == pytest.approx([440, 1108.7], rel=0.02)
    assert a[20] > 0.5 > c[20]
    assert c[80] > 0.5 > a[80]
    assert int(table.sel(feature="flux").fillna(0).argmax()) in range(48, 52)


def test_frames_of_another_clip_are_refused():
    with pytest.raises(InputError, match="250"):
        frame_features(tone(440, 4.0).astype(np.float32), RATE, 50, 250)

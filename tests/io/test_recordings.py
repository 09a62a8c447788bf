"""Sound files that people bring are read as they are, or refused by name."""

import hashlib

import numpy as np
import pytest
import soundfile
from fake_tracks import tune, write_track

from innerear.errors import InputError
from innerear.io.recordings import QUIETEST_DBFS, check_recording, read_recording
from innerear.models import load_model


@pytest.mark.parametrize(
    ("name", "how", "close"),
    [
        ("a.wav", {"subtype": "PCM_24"}, 1e-6),
        ("a.wav", {"rate": 8_000}, 1e-4),
        ("a.wav", {"channels": 2, "subtype": "FLOAT"}, 1e-6),
        ("a.flac", {"channels": 2, "rate": 48_000}, 1e-4),
        ("a.ogg", {"rate": 32_000}, 0.1),
        ("a.mp3", {"channels": 2}, 0.1),
        ("a.aiff", {"rate": 22_050}, 1e-4),
    ],
)
def test_the_part_that_is_asked_for_is_read(tmp_path, name, how, close):
    path = write_track(tmp_path / name, seconds=12.0, **how)
    rate = how.get("rate", 44_100)
    made, whole = tune(220.0, 12.0, rate), soundfile.read(path, dtype="float32", always_2d=True)[0]
    for start in (0.0, 0.5, 7.31):
        check_recording(path, start, 1.0)
        found = read_recording(path, start, 1.0)
        assert (found.rate, found.wave.dtype) == (rate, np.float32)
        assert found.wave.shape == (how.get("channels", 1), rate)
        part = slice(round(start * rate), round(start * rate) + rate)
        np.testing.assert_array_equal(found.wave, whole[part].T)  # whatever the decoder needs before it
        np.testing.assert_allclose(found.wave[0], made[part], atol=close)
        assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_ends_with_the_part_is_long_enough_and_one_sample_less_is_not(tmp_path):
    path = write_track(tmp_path / "a.wav", seconds=1.0, rate=8_000)
    check_recording(path, 0.5, 0.5)
    with pytest.raises(InputError, match=r"a\.wav lasts 1\.00 s, but 1\.0002 s are needed .*audio_start"):
        check_recording(path, 0.5, 0.5002)


def wave(**changes):
    values = tune(220.0, 1.0, 8_000)
    for where, value in changes.items():
        values[int(where.removeprefix("at"))] = value
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (wave(at4000=np.nan), "samples are NaN or infinite"),
        (wave(at4000=np.inf), "samples are NaN or infinite"),
        (32_768 * wave(), "full scale is 1"),
        (1e-5 * wave(), "is silent; set audio_start"),
        (1e-3 * wave(), "is silent; set audio_start"),  # nano's tokens of silence
        (0.5 + 1e-3 * wave(), "is silent"),  # a constant is no sound
        (np.full(8_000, 0.5), "is silent"),
        (np.zeros(8_000), "is silent"),
    ],
)
def test_sound_that_is_none_is_refused(tmp_path, values, message):
    path = write_track(tmp_path / "a.wav", rate=8_000, wave=values, subtype="FLOAT")
    with pytest.raises(InputError, match=rf"a\.wav, 0 to 1 s.*{message}"):
        read_recording(path, 0.0, 1.0)


@pytest.mark.parametrize("right", [-1.0, -0.9, -1.1])
@pytest.mark.parametrize("gain", [1.0, 1e-2])
def test_channels_that_cancel_when_they_are_mixed_are_refused(tmp_path, right, gain):
    left = gain * wave()
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([left, right * left], axis=1), 8_000, "FLOAT")
    with pytest.raises(InputError, match=r"a\.wav, 0 to 1 s: the channels cancel .*one of them alone"):
        read_recording(path, 0.0, 1.0)


@pytest.mark.parametrize("right", [1.0, 0.0, -0.5])
def test_quiet_music_and_wide_stereo_are_read(tmp_path, right):
    left = 4e-2 * wave()  # at right −.5 the mix has −54 dBFS
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([left, right * left], axis=1), 8_000, "FLOAT")
    assert read_recording(path, 0.0, 1.0).wave.shape == (2, 8_000)


def test_what_is_refused_as_silent_has_the_tokens_of_silence_and_what_is_read_has_others():
    codec, rate = load_model("nano"), 44_100
    music = tune(220.0, 1.0, rate).astype(np.float32)
    music /= music.std()
    silence = codec.encode(0 * music[None], rate)
    for level, same in ((QUIETEST_DBFS, True), (QUIETEST_DBFS + 10, False), (QUIETEST_DBFS + 20, False)):
        assert bool((codec.encode(music[None] * 10 ** (level / 20), rate) == silence).all()) == same


def test_what_is_no_sound_file_is_refused_by_name(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    (tmp_path / "empty.mp3").write_bytes(b"")
    (tmp_path / "folder.wav").mkdir()
    write_track(tmp_path / "six.wav", rate=8_000, channels=6)
    for name, message in (
        ("a.wav", "cannot be read as sound .*convert it"),
        ("empty.mp3", "cannot be read as sound"),
        ("folder.wav", "is no file"),
        ("absent.wav", "does not exist; paths are relative"),
        ("six.wav", "has 6 channels; mix it down"),
        ("a.raw", "does not exist"),
    ):
        with pytest.raises(InputError, match=rf"{name}.*{message}"):
            check_recording(tmp_path / name, 0.0, 0.5)


def test_a_file_that_breaks_off_is_refused(tmp_path):
    path = write_track(tmp_path / "a.flac", seconds=2.0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    check_recording(path, 0.0, 2.0)  # its header is whole
    with pytest.raises(InputError, match=r"a\.flac.*(breaks off|cannot be read as sound)"):
        read_recording(path, 0.0, 2.0)


@pytest.mark.parametrize(("rate", "subtype"), [(8_000, "GSM610"), (8_000, "G721_32")])
def test_a_file_that_cannot_be_read_from_a_second_on_is_refused_from_the_header(tmp_path, rate, subtype):
    path = write_track(tmp_path / "a.wav", rate=rate, subtype=subtype)
    with pytest.raises(InputError, match=r"a\.wav \(.*\) cannot be read from a second on; convert it to WAV"):
        check_recording(path, 0.0, 0.5)


@pytest.mark.parametrize("rate", [10, 2_000_000])
def test_a_rate_that_no_music_has_is_refused_from_the_header(tmp_path, rate):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.full(rate, 0.5), rate)
    with pytest.raises(InputError, match=rf"a\.wav has {rate} samples a second; save it at 32000"):
        check_recording(path, 0.0, 0.5)

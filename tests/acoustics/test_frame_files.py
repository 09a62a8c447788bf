"""Frame features survive their files, and the list of files follows their content."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import xarray as xr
from fake_sounds import RATE, notes

from innerear.acoustics.clips import measure_clips
from innerear.acoustics.frame_files import frame_files, read_frames, write_frames
from innerear.acoustics.spectrogram import mel_spectrogram
from innerear.errors import InputError


def test_clips_are_measured_from_files_and_frames_read_back(tmp_path):
    paths, names = [], ["a-happy/seed-0", "a-happy/seed-1"]
    for number, bpm in enumerate((90, 120)):
        paths.append(tmp_path / f"{number}.wav")
        soundfile.write(paths[-1], notes(bpm)[0], RATE)
    clips, frames = measure_clips(paths, names, 50)
    tempo = clips[clips["feature"] == "tempo"].set_index("sample_id")["value"]
    assert tempo[names].tolist() == pytest.approx([90, 120], rel=0.01)
    write_frames(frames, tmp_path / "frames.nc")
    with xr.open_dataset(tmp_path / "frames.nc", engine="h5netcdf") as read:
        assert read["value"].dims == ("sample", "feature", "frame")
        assert read["sample"].values.tolist() == names
        np.testing.assert_array_equal(read["value"], frames["value"])
    files = frame_files([tmp_path / "frames.nc"])
    turned = read_frames(files, names[::-1])
    np.testing.assert_array_equal(turned["value"][1], frames["value"][0])
    wave, _ = soundfile.read(paths[0], dtype="float32")
    np.testing.assert_array_equal(turned["mel"][1], mel_spectrogram(wave, RATE))
    with pytest.raises(InputError, match=r"'b/seed-0' has no frame features"):
        read_frames(files, [*names, "b/seed-0"])


def test_the_list_of_frame_files_changes_with_their_content(tmp_path):
    paths = [tmp_path / "a.nc", tmp_path / "b.nc"]
    for path in paths:
        write_frames(one_frame(0.0), path)
    before = frame_files(paths)
    assert before["path"].tolist() == [str(path) for path in paths]
    write_frames(one_frame(1.0), paths[1])
    assert (frame_files(paths)["content_sha256"] != before["content_sha256"]).tolist() == [False, True]
    with pytest.raises(InputError, match=r"b\.nc: its content hash is .*index lists"):
        read_frames(before, ["a"])


def test_features_of_another_version_of_a_clip_are_refused(tmp_path):
    write_frames(one_frame(0.0), tmp_path / "a.nc")
    samples = pd.DataFrame({"sample_id": ["a"], "audio_sha256": ["1"]})
    assert len(frame_files([tmp_path / "a.nc"], samples)) == 1
    for other in ({"audio_sha256": ["2"]}, {"sample_id": ["b"]}):
        with pytest.raises(InputError, match=r"a\.nc: the features of .* are not those of its clip"):
            frame_files([tmp_path / "a.nc"], samples.assign(**other))


def one_frame(value):
    """Frame features of one sample."""
    values = np.full((1, 3), value, np.float32)
    return xr.Dataset(
        {"value": (("sample", "frame"), values), "audio_sha256": ("sample", ["1"])}, {"sample": ["a"]}
    )

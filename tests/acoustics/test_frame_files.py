"""Frame features survive their files, and the list of files follows their content."""

import numpy as np
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
    turned = read_frames([tmp_path / "frames.nc"], names[::-1])
    np.testing.assert_array_equal(turned["value"][1], frames["value"][0])
    wave, _ = soundfile.read(paths[0], dtype="float32")
    np.testing.assert_array_equal(turned["mel"][1], mel_spectrogram(wave, RATE))
    with pytest.raises(InputError, match=r"'b/seed-0' has no frame features"):
        read_frames([tmp_path / "frames.nc"], [*names, "b/seed-0"])


def test_the_list_of_frame_files_changes_with_their_content(tmp_path):
    paths = [tmp_path / "a.nc", tmp_path / "b.nc"]
    for path in paths:
        path.write_bytes(path.name.encode())
    before = frame_files(paths)
    assert before["path"].tolist() == [str(path) for path in paths]
    paths[1].write_bytes(b"other")
    assert (frame_files(paths)["sha256"] != before["sha256"]).tolist() == [False, True]

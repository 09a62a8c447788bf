"""Measure clips from their files."""

import hashlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import soundfile
from tqdm import tqdm

from innerear.acoustics.clip import clip_features
from innerear.acoustics.frames import frame_features
from innerear.acoustics.spectrogram import mel_spectrogram
from innerear.errors import InputError
from innerear.tracking import atomic

if TYPE_CHECKING:
    import xarray as xr


def measure_clips(
    paths: Sequence[str | PathLike], sample_ids: Sequence[str], frame_rate: float
) -> "tuple[pd.DataFrame, xr.Dataset]":
    """Measure several clips of one length.

    Parameters
    ----------
    paths, sample_ids : [N] sound files and the names of their samples.
    frame_rate : codec frames per second.

    Returns
    -------
    clips : long table, `clip_features` of each sample after a column ``sample_id``.
    frames : `frame_features` of each, stacked along an axis ``sample``; beside them, to be looked at,
        its `mel_spectrogram`, ``mel`` [sample, band, column].
    """
    import xarray as xr  # imported here: the clip features alone do without

    clips: list[pd.DataFrame] = []
    frames: list[xr.Dataset] = []
    for path, sample_id in zip(tqdm(paths, desc="acoustics", unit="clip"), sample_ids, strict=True):
        wave, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
        n_frames = round(len(wave) / sample_rate * frame_rate)
        features = clip_features(wave.T, sample_rate, frame_rate)
        features.insert(0, "sample_id", sample_id)
        clips.append(features)
        measured = frame_features(wave.T, sample_rate, frame_rate, n_frames)
        frames.append(measured.assign(mel=(("band", "column"), mel_spectrogram(wave.T, sample_rate))))
    samples = pd.Index(list(sample_ids), name="sample")
    return pd.concat(clips, ignore_index=True), xr.concat(frames, dim=samples)


def write_frames(frames: "xr.Dataset", path: str | PathLike) -> None:
    """Write frame features as netCDF-4."""
    with atomic(path) as temporary:
        frames.to_netcdf(temporary, engine="h5netcdf")


def frame_files(paths: Sequence[str | PathLike]) -> pd.DataFrame:
    """List files of frame features with their content hashes, so that the list changes when they do.

    Parameters
    ----------
    paths : files of `write_frames`, one per prompt.

    Returns
    -------
    Table with the columns ``path`` and ``sha256``.
    """
    rows = [(str(path), hashlib.sha256(Path(path).read_bytes()).hexdigest()) for path in paths]
    return pd.DataFrame(rows, columns=["path", "sha256"])


def read_frames(paths: Sequence[str | PathLike], sample_ids: Sequence[str]) -> "xr.Dataset":
    """Read the frame features of all samples, put in order.

    Parameters
    ----------
    paths : files of `write_frames`, each of some of the samples.
    sample_ids : [N] the order of the axis ``sample``.

    Raises
    ------
    InputError: a sample that none of the files holds.
    """
    import xarray as xr

    parts: list[xr.Dataset] = []
    for path in paths:
        with xr.open_dataset(path, engine="h5netcdf") as part:
            parts.append(part.load())
    frames: xr.Dataset = xr.concat(parts, dim="sample")
    absent = sorted(set(sample_ids) - set(frames["sample"].values.tolist()))
    if absent:
        raise InputError(f"sample {absent[0]!r} has no frame features: remake acoustics/frames")
    return frames.sel(sample=list(sample_ids))

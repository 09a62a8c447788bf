"""Measure clips from their files."""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

import pandas as pd
import soundfile
from tqdm import tqdm

from innerear.acoustics.clip import clip_features
from innerear.acoustics.frames import frame_features
from innerear.acoustics.spectrogram import mel_spectrogram

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

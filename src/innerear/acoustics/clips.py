"""Measure clips: one value, or one reason, per feature and clip."""

from collections.abc import Sequence
from os import PathLike

import numpy as np
import pandas as pd
import soundfile
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from innerear.acoustics.features import FEATURES, Measured, Missing
from innerear.acoustics.frames import frame_features
from innerear.acoustics.rhythm import rhythm
from innerear.acoustics.sound import as_sound
from innerear.acoustics.spectrogram import mel_spectrogram
from innerear.acoustics.timbre import dynamics, timbre
from innerear.acoustics.tonality import tonality


def clip_features(wave: NDArray, sample_rate: int, frame_rate: float) -> pd.DataFrame:
    """Measure every feature of `FEATURES` on one clip.

    Parameters
    ----------
    wave, sample_rate, frame_rate : as `as_sound`.

    Returns
    -------
    One row per feature, in the order of `FEATURES`: feature, unit, value (NaN where it cannot be
    measured), valid, reason (empty where valid).
    """
    sound = as_sound(wave, sample_rate, frame_rate)
    if sound.flaw:
        measured: Measured = dict.fromkeys(FEATURES, Missing(sound.flaw))
    else:
        measured = rhythm(sound) | dynamics(sound) | timbre(sound) | tonality(sound)
    rows = []
    for name, feature in FEATURES.items():
        value = measured[name]
        reason = str(value) if isinstance(value, Missing) else ""
        rows.append((name, feature.unit, np.nan if reason else value, not reason, reason))
    return pd.DataFrame(rows, columns=["feature", "unit", "value", "valid", "reason"])


def measure_clips(
    paths: Sequence[str | PathLike], sample_ids: Sequence[str], frame_rate: float
) -> tuple[pd.DataFrame, xr.Dataset]:
    """Measure several clips of one length.

    Parameters
    ----------
    paths, sample_ids : [N] sound files and the names of their samples.
    frame_rate : codec frames per second.

    Returns
    -------
    clips : long table, `clip_features` of each sample after a column ``sample_id``.
    frames : `frame_features` of each, stacked along an axis ``sample``, and its `mel_spectrogram` for
        pictures, ``mel`` [sample, band, column].
    """
    clips, frames = list[pd.DataFrame](), list[xr.Dataset]()
    for path, sample_id in zip(tqdm(paths, desc="acoustics", unit="clip"), sample_ids, strict=True):
        wave, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
        n_frames = round(len(wave) / sample_rate * frame_rate)
        clips.append(clip_features(wave.T, sample_rate, frame_rate))
        clips[-1].insert(0, "sample_id", sample_id)
        measured = frame_features(wave.T, sample_rate, frame_rate, n_frames)
        frames.append(measured.assign(mel=(("band", "column"), mel_spectrogram(wave.T, sample_rate))))
    samples = pd.Index(list(sample_ids), name="sample")
    return pd.concat(clips, ignore_index=True), xr.concat(frames, dim=samples)

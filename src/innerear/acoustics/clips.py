"""Measure clips: one value, or one reason, per feature and clip."""

from collections.abc import Sequence
from os import PathLike

import numpy as np
import pandas as pd
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
from innerear.errors import InputError
from innerear.io.clips import read_clip
from innerear.io.names import remake


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
    clips : long table, `clip_features` of each sample after the columns ``sample_id`` and ``audio_sha256``,
        the hash of the file that was measured.
    frames : `frame_features` of each, stacked along an axis ``sample``, with ``audio_sha256`` [sample], and
        its `mel_spectrogram` for pictures, ``mel`` [sample, band, column].

    Raises
    ------
    InputError: a file that is no clip; clips of several lengths.
    """
    clips, frames, hashes = list[pd.DataFrame](), list[xr.Dataset](), list[str]()
    for path, sample_id in zip(tqdm(paths, desc="acoustics", unit="clip"), sample_ids, strict=True):
        wave, sample_rate, sha256 = read_clip(path)
        hashes.append(sha256)
        n_frames = round(len(wave) / sample_rate * frame_rate)
        clips.append(clip_features(wave.T, sample_rate, frame_rate))
        clips[-1].insert(0, "audio_sha256", sha256)
        clips[-1].insert(0, "sample_id", sample_id)
        measured = frame_features(wave.T, sample_rate, frame_rate, n_frames)
        frames.append(measured.assign(mel=(("band", "column"), mel_spectrogram(wave.T, sample_rate))))
        if frames[-1].sizes != frames[0].sizes:
            raise InputError(
                f"{path} is not as long as {paths[0]}: the clips of a study are of one length; {remake(path)}"
            )
    samples = pd.Index(list(sample_ids), name="sample")
    return pd.concat(clips, ignore_index=True), xr.concat(frames, dim=samples).assign(
        audio_sha256=("sample", hashes)
    )

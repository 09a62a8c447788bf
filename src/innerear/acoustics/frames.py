"""Frame features: one value per codec frame, centred on it."""

from dataclasses import replace

import librosa
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from innerear.acoustics.features import CHROMA, FEATURES, MFCCS, TONNETZ, Missing
from innerear.acoustics.rhythm import onset_curve
from innerear.acoustics.sound import Sound, as_sound
from innerear.acoustics.timbre import log_mel, timbre_flaw, timbre_frames
from innerear.acoustics.tonality import MIN_SECONDS, chroma_frames, constant_q
from innerear.errors import InputError

_TIMBRE = ("centroid", "bandwidth", "rolloff", "flatness", "contrast", "flux", "zero_crossing_rate", *MFCCS)
#: names as in `FEATURES`; onset strength here is the rise since the codec frame before
FRAME_FEATURES = ("rms", "onset_strength", *_TIMBRE, *CHROMA, *TONNETZ)


def frame_features(wave: NDArray, sample_rate: int, frame_rate: float, n_frames: int) -> xr.Dataset:
    """Measure features over time, one value per codec frame f, in windows centred at f + ½.

    Parameters
    ----------
    wave, sample_rate, frame_rate : as `as_sound`; the wave within one codec frame of `n_frames` in length.
    n_frames : codec frames of the clip, T.

    Returns
    -------
    ``value`` [feature, frame] float32, NaN in frames that hold no sound (and, for rises, in the
    first); ``reason`` [feature], empty, or why the whole row is NaN; coordinates ``unit`` [feature]
    and ``seconds`` [frame], the centre of the frame.

    Raises
    ------
    InputError: as `as_sound`; or the clip is not `n_frames` long.
    """
    sound = as_sound(wave, sample_rate, frame_rate)
    n_samples, hop = len(sound.wave), sound.hop
    if abs(n_samples - n_frames * hop) >= hop:
        raise InputError(
            f"a clip of {n_samples} samples is {n_samples / hop:.2f} codec frames long, "
            f"not {n_frames}: were the audio and the tokens made together?"
        )
    sound = replace(sound, wave=librosa.util.fix_length(sound.wave, size=n_frames * hop))
    rows = _rows(sound)
    reasons = [str(row) if isinstance(row, Missing) else "" for row in map(rows.get, FRAME_FEATURES)]
    value = np.full((len(FRAME_FEATURES), n_frames), np.nan, np.float32)
    for i in np.flatnonzero([not reason for reason in reasons]):
        value[i] = rows[FRAME_FEATURES[i]]
    value[FRAME_FEATURES.index("centroid") :, ~sound.active] = np.nan  # all but the level and its rise
    return xr.Dataset(
        {"value": (("feature", "frame"), value), "reason": ("feature", reasons)},
        coords={
            "feature": list(FRAME_FEATURES),
            "unit": ("feature", [FEATURES[name].unit for name in FRAME_FEATURES]),
            "seconds": ("frame", (np.arange(n_frames) + 0.5) / frame_rate),
        },
    )


def _rows(sound: Sound) -> dict[str, NDArray | Missing]:
    """Return each feature over time [T], or why it has no values."""
    if sound.flaw:
        return dict.fromkeys(FRAME_FEATURES, Missing(sound.flaw))
    rows: dict[str, NDArray | Missing] = {"rms": np.where(np.isfinite(sound.levels), sound.levels, np.nan)}
    if flaw := timbre_flaw(sound):
        rows |= dict.fromkeys(("onset_strength", *_TIMBRE), Missing(flaw))
    else:
        rises = onset_curve(log_mel(sound))
        rises[0] = np.nan
        rows |= {"onset_strength": rises, **timbre_frames(sound)}
    if short := sound.too_short(MIN_SECONDS):
        return rows | dict.fromkeys((*CHROMA, *TONNETZ), Missing(short))
    chroma = librosa.util.normalize(chroma_frames(constant_q(sound)), norm=1, axis=0)
    tonnetz = librosa.feature.tonnetz(chroma=chroma, sr=sound.sample_rate)
    return rows | dict(zip((*CHROMA, *TONNETZ), (*chroma, *tonnetz), strict=True))

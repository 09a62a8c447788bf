"""Frame features: one value per codec frame, centred on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import librosa
import numpy as np
from numpy.typing import NDArray

from innerear.acoustics.features import CHROMA, FEATURES, MFCCS, TONNETZ, Missing
from innerear.acoustics.rhythm import onset_curve
from innerear.acoustics.sound import Sound, as_sound
from innerear.acoustics.timbre import log_mel, magnitudes, normalised, timbre_flaw, timbre_frames
from innerear.acoustics.tonality import MIN_SECONDS, chroma_frames, constant_q
from innerear.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

_TIMBRE = ("centroid", "bandwidth", "rolloff", "flatness", "contrast", "flux", "zero_crossing_rate", *MFCCS)
#: names as in `FEATURES`; onset strength here is the rise since the codec frame before
FRAME_FEATURES = ("rms", "onset_strength", *_TIMBRE, *CHROMA, *TONNETZ)


def frame_features(wave: NDArray, sample_rate: int, frame_rate: float, n_frames: int) -> xr.Dataset:
    """Measure features over time, one value per codec frame.

    Windows are centred on the codec frames, f + ½ frames into the clip.

    Parameters
    ----------
    wave : [n] or [channels, n] floating point; within one codec frame of `n_frames` in length.
    sample_rate : Hz.
    frame_rate : codec frames per second; must divide the sample rate.
    n_frames : codec frames of the clip, T.

    Returns
    -------
    ``value`` [feature, frame] float32, NaN in frames that hold no sound (and, for rises, in the
    first); ``reason`` [feature], empty, or why the whole row is NaN; coordinates ``unit`` [feature]
    and ``seconds`` [frame], the centre of the frame.

    Raises
    ------
    InputError: as `clip_features`; or the clip is not `n_frames` long.
    """
    import xarray as xr

    sound = as_sound(wave, sample_rate, frame_rate)
    if abs(len(sound.wave) - n_frames * sound.hop) >= sound.hop:
        raise InputError(
            f"a clip of {len(sound.wave)} samples is {len(sound.wave) / sound.hop:.2f} codec frames long, "
            f"not {n_frames}: were the audio and the tokens made together?"
        )
    exact = librosa.util.fix_length(sound.wave, size=n_frames * sound.hop)
    rows = _rows(Sound(exact, sample_rate, frame_rate, sound.flaw, sound.clipped))
    value = np.full((len(FRAME_FEATURES), n_frames), np.nan, np.float32)
    for i, name in enumerate(FRAME_FEATURES):
        if not isinstance(rows[name], Missing):
            value[i] = rows[name]
    reasons = [str(row) if isinstance(row, Missing) else "" for row in map(rows.get, FRAME_FEATURES)]
    return xr.Dataset(
        {"value": (("feature", "frame"), value), "reason": ("feature", reasons)},
        coords={
            "feature": list(FRAME_FEATURES),
            "unit": ("feature", [FEATURES[name].unit for name in FRAME_FEATURES]),
            "seconds": ("frame", (np.arange(n_frames) + 0.5) / frame_rate),
        },
    )


def _rows(sound: Sound) -> dict[str, NDArray | Missing]:
    if sound.flaw:
        return dict.fromkeys(FRAME_FEATURES, Missing(sound.flaw))
    levels = np.where(np.isfinite(sound.levels), sound.levels, np.nan)
    return {"rms": levels, **_timbre_rows(sound), **_tonality_rows(sound)}


def _timbre_rows(sound: Sound) -> dict[str, NDArray | Missing]:
    flaw = timbre_flaw(sound)
    if flaw:
        return dict.fromkeys(("onset_strength", *_TIMBRE), Missing(flaw))
    wave = normalised(sound)
    spectrum = magnitudes(sound, wave)
    rises = onset_curve(log_mel(sound, spectrum))
    rises[0] = np.nan
    rows = timbre_frames(sound, wave, spectrum)
    audible: dict[str, NDArray | Missing] = {
        name: np.where(sound.active, row, np.nan) for name, row in rows.items()
    }
    audible["onset_strength"] = rises
    return audible


def _tonality_rows(sound: Sound) -> dict[str, NDArray | Missing]:
    if sound.seconds < MIN_SECONDS:
        reason = Missing(f"{sound.seconds:.2f} s is shorter than {MIN_SECONDS:g} s")
        return dict.fromkeys((*CHROMA, *TONNETZ), reason)
    chroma = chroma_frames(constant_q(sound))
    chroma = np.where(sound.active, librosa.util.normalize(chroma, norm=1, axis=0), np.nan)
    tonnetz = librosa.feature.tonnetz(chroma=np.nan_to_num(chroma), sr=sound.sample_rate)
    tonnetz = np.where(sound.active, tonnetz, np.nan)
    rows: dict[str, NDArray | Missing] = dict(zip((*CHROMA, *TONNETZ), (*chroma, *tonnetz), strict=True))
    return rows

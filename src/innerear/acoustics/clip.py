"""Clip features: one value, or one reason, per feature."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from innerear.acoustics.dynamics import dynamics
from innerear.acoustics.features import FEATURES, Measured, Missing
from innerear.acoustics.rhythm import rhythm
from innerear.acoustics.sound import as_sound
from innerear.acoustics.timbre import timbre
from innerear.acoustics.tonality import tonality


def clip_features(wave: NDArray, sample_rate: int, frame_rate: float) -> pd.DataFrame:
    """Measure every feature of `FEATURES` on one clip.

    Parameters
    ----------
    wave : [n] or [channels, n] floating point; channels are averaged, DC is removed.
    sample_rate : Hz.
    frame_rate : codec frames per second; must divide the sample rate.

    Returns
    -------
    One row per feature, in the order of `FEATURES`: feature, unit, value (NaN where it cannot be
    measured), valid, reason (empty where valid).

    Raises
    ------
    InputError: wave of another type or shape, or rates that do not fit each other.
    """
    sound = as_sound(wave, sample_rate, frame_rate)
    if sound.flaw:
        measured: Measured = dict.fromkeys(FEATURES, Missing(sound.flaw))
    else:
        measured = rhythm(sound) | dynamics(sound) | timbre(sound) | tonality(sound)
    reasons = [value if isinstance(value, Missing) else "" for value in map(measured.get, FEATURES)]
    return pd.DataFrame(
        {
            "feature": list(FEATURES),
            "unit": [feature.unit for feature in FEATURES.values()],
            "value": [
                np.nan if reason else measured[name] for name, reason in zip(FEATURES, reasons, strict=True)
            ],
            "valid": [not reason for reason in reasons],
            "reason": [str(reason) for reason in reasons],
        }
    )

"""Dynamics, on the clip as it is."""

import numpy as np

from innerear.acoustics.features import Measured, Missing
from innerear.acoustics.sound import Sound

CLIPPED_PEAK = 1e-4
"""Share of samples at full scale above which the peak is the converter's, not the music's."""
CLIPPED_SOUND = 1e-2
"""Share of samples at full scale above which level and timbre are audibly not the music's either."""


def dynamics(sound: Sound) -> Measured:
    """Measure level, loudness and crest factor of a clip that is not silent."""
    rms = np.sqrt(np.mean(np.square(sound.wave, dtype=float)))
    values: Measured = {
        "rms": float(20 * np.log10(rms)),
        "loudness": sound.loudness,
        "crest_factor": float(20 * np.log10(np.abs(sound.wave).max() / rms)),
    }
    reason = Missing(f"clipped: {100 * sound.clipped:.2g} % of samples at full scale")
    if sound.clipped > CLIPPED_PEAK:
        values["crest_factor"] = reason
    if sound.clipped > CLIPPED_SOUND:
        values |= {"rms": reason, "loudness": reason}
    return values

"""Frame features of many clips as time series, aligned with the states of each moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from innerear.acoustics.features import CHROMA
from innerear.errors import InputError

#: what is followed: name → its columns among the frame features
FOLLOWED: Mapping[str, Sequence[str]] = {
    **{name: (name,) for name in ("rms", "onset_strength", "centroid", "flatness", "flux")},
    "chroma": CHROMA,
}
# A feature that more of a study's frames lack is not used.
MAX_MISSING = 0.1


@dataclass(frozen=True)
class Sound:
    """Frame features of all samples, ready to be followed.

    `feature_of` int [F] is the feature, of `names`, of each column of `values` float32 [N, T, F]: of unit
    variance, without the mean over samples at each frame, 0 where not measured. `reasons` are feature → why
    it cannot be used.
    """

    names: list[str]
    feature_of: np.ndarray
    values: np.ndarray
    reasons: dict[str, str]


def followed(frames: Mapping[str, np.ndarray], groups: Mapping[str, Sequence[str]] = FOLLOWED) -> Sound:
    """Prepare frame features, column → [N, T] with NaN gaps; columns of one group are scored together.

    Raises
    ------
    InputError: a column that `frames` lacks.

    Examples
    --------
    >>> sound = followed({"rms": np.array([[1.0, 2.0], [3.0, 2.5]])}, {"rms": ("rms",)})
    >>> sound.values.shape, sound.names
    ((2, 2, 1), ['rms'])
    """
    absent = [name for columns in groups.values() for name in columns if name not in frames]
    if absent:
        raise InputError(f"the frame features lack {absent[0]!r}: remake acoustics/frames")
    names, feature_of, values, reasons = [], [], [], {}
    for name, own in groups.items():
        series = np.stack([np.asarray(frames[column], float) for column in own], axis=-1)  # [N, T, F]
        measured = np.isfinite(series)
        if 1 - measured.mean() > MAX_MISSING:
            reasons[name] = f"{1 - measured.mean():.0%} of frames have no value"
            continue
        n = measured.sum(axis=0)
        course = np.divide(np.nansum(series, axis=0), n, out=np.zeros(series.shape[1:]), where=n > 0)
        left = np.where(measured, series - course, 0)
        scale = np.sqrt((left**2).mean())
        if not scale:
            reasons[name] = "it does not vary between samples"
            continue
        feature_of += [len(names)] * len(own)
        names.append(name)
        values.append((left / scale).astype(np.float32))
    whole = np.concatenate(values, axis=-1) if values else np.empty((0, 0, 0), np.float32)
    return Sound(names, np.array(feature_of, int), whole, reasons)

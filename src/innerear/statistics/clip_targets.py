"""Clip features as the columns of a matrix, for analyses over samples."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.statistics.design import Design

# A few seeds without a value are filled from their prompt; with more the feature is not used.
MAX_MISSING = 0.1


@dataclass(frozen=True)
class Targets:
    """Clip features, standardised.

    `values` float32 [N, F] have unit variance and filled gaps; `valid` float32 [N, F] is 1 where a value was
    measured: only those are scored. `reasons` [F] say why a feature cannot be used; empty where it can.
    """

    names: list[str]
    units: list[str]
    values: np.ndarray
    valid: np.ndarray
    reasons: list[str]

    @property
    def usable(self) -> np.ndarray:
        """Bool [F]."""
        return np.array([not reason for reason in self.reasons], bool)

    @property
    def used(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the usable features, and their values [N, usable] as float64."""
        return np.flatnonzero(self.usable), self.values[:, self.usable].astype(float)

    @property
    def nulls(self) -> list[str]:
        """Entries of a table's column `null` before any test, [F]."""
        return [f"none: {reason}" if reason else "" for reason in self.reasons]

    def without(self, why: str) -> "Targets":
        """Return the same with no feature usable, for one reason; unchanged where there is none."""
        return replace(self, reasons=[reason or why for reason in self.reasons])


def clip_targets(clips: pd.DataFrame, design: Design) -> Targets:
    """Lay the long table of clip features out, in the design's order.

    `clips` has one row per sample and feature: `sample_id`, `feature`, `unit`, `value` (NaN where not
    measured) and `reason`. A feature is not usable if a whole prompt lacks it, if more than 10 % of samples
    lack it, or if it does not vary. Other gaps are filled with the mean of the prompt's seeds.

    Raises
    ------
    InputError: `clips` lacks a sample or holds a feature of one twice.

    Examples
    --------
    >>> samples = pd.DataFrame({"sample_id": ["a/0", "b/0"], "prompt_id": ["a", "b"], "template": "t",
    ...                         "emotion": ["happy", "sad"], "seed": 0})
    >>> clips = pd.DataFrame({"sample_id": ["b/0", "a/0"], "feature": "rms", "unit": "dBFS",
    ...                       "value": [-10.0, -20.0], "reason": ""})
    >>> clip_targets(clips, Design(samples, "emotion")).values.tolist()
    [[-1.0], [1.0]]
    """
    ids = design.samples["sample_id"].astype(str).tolist()
    names = list(dict.fromkeys(clips["feature"].astype(str)))
    twice = clips.duplicated(["sample_id", "feature"]).to_numpy()
    if twice.any():
        sample, name = (clips[column].iloc[int(twice.argmax())] for column in ("sample_id", "feature"))
        raise InputError(f"{sample!r} has {name!r} twice in the clip features: remake acoustics/clips.tsv")
    wide = clips.pivot(index="sample_id", columns="feature", values="value").reindex(columns=names)
    absent = [name for name in ids if name not in wide.index]
    if absent:
        raise InputError(
            f"sample {absent[0]!r} has no clip features ({len(absent)} of {len(ids)} samples have none): "
            "remake acoustics/clips.tsv"
        )
    values = wide.loc[ids].to_numpy(float)  # [N, F]
    measured = clips.dropna(subset=["unit"])
    unit_of = dict(zip(measured["feature"].astype(str), measured["unit"].astype(str), strict=True))
    reasons = [_why_unusable(values[:, f], design, _reason(clips, name)) for f, name in enumerate(names)]
    valid = np.isfinite(values)
    filled = np.where(valid, values, prompt_means(values, design)[design.prompt_of])
    centred = filled - filled.mean(axis=0)
    spread = centred.std(axis=0)
    scaled = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return Targets(
        names,
        [unit_of.get(name, "") for name in names],
        np.where(np.isfinite(scaled), scaled, 0).astype(np.float32),
        valid.astype(np.float32),
        reasons,
    )


def prompt_means(values: np.ndarray, design: Design) -> np.ndarray:
    """Return the mean of values [N, F] over each prompt's seeds, [P, F]; NaN values are left out."""
    seeds = values[design.rows]  # [P, R, F]
    n = np.isfinite(seeds).sum(axis=1)
    return np.divide(np.nansum(seeds, axis=1), n, out=np.full(n.shape, np.nan), where=n > 0)


def _reason(clips: pd.DataFrame, feature: str) -> str:
    gaps = clips.loc[(clips["feature"] == feature) & clips["value"].isna(), "reason"].dropna()
    return f" ({Counter(gaps.astype(str)).most_common(1)[0][0]})" if len(gaps) else ""


def _why_unusable(values: np.ndarray, design: Design, reason: str) -> str:
    missing = ~np.isfinite(values)
    whole = missing[design.rows].all(axis=1)
    if whole.any():
        return f"prompt {design.prompts[whole.argmax()]} has no value{reason}"
    if missing.mean() > MAX_MISSING:
        return f"{missing.sum()} of {len(missing)} samples have no value{reason}"
    if np.ptp(values[~missing]) == 0:
        return "all samples have one value"
    return ""

"""From the long table of clip features to how often each could be measured."""

import logging
from collections import Counter

import pandas as pd

from innerear.acoustics.features import FEATURES
from innerear.errors import InputError

UNEQUAL = 0.2
"""Difference between emotions in the share of valid clips from which missingness is a warning."""

_log = logging.getLogger(__name__)


def validity(clips: pd.DataFrame, samples: pd.DataFrame, by: str = "emotion") -> pd.DataFrame:
    """Count, per label and feature, how many clips have a value; warn where labels differ.

    A feature that can be measured on energetic clips but not on calm ones manufactures a
    difference between them, so unequal missingness is reported beside every result.

    Parameters
    ----------
    clips : one row per sample and feature: sample_id, feature, reason (empty where valid).
    samples : the index of samples: sample_id and the column `by`.

    Returns
    -------
    One row per feature and label, in the order of `FEATURES` and of the index: feature, `by`, n,
    n_valid, share (0-1), reason (the most frequent one), unequal (bool: over the labels, the
    share differs by more than 0.2).

    Raises
    ------
    InputError: a clip whose sample is not in the index.
    """
    label_of = dict(zip(samples["sample_id"], samples[by], strict=True))
    unknown = sorted(set(clips["sample_id"]) - set(label_of))
    if unknown:
        raise InputError(f"{unknown[0]!r} has clip features but is not in the index of samples")
    cells: dict[tuple[str, str], list[str]] = {
        (name, label): [] for name in _features(clips) for label in dict.fromkeys(samples[by])
    }
    for sample, name, reason in zip(clips["sample_id"], clips["feature"], clips["reason"], strict=True):
        cells[name, label_of[sample]].append(reason)
    rows = [(name, label, *_cell(reasons)) for (name, label), reasons in cells.items()]
    table = pd.DataFrame(rows, columns=["feature", by, "n", "n_valid", "share", "reason"])
    shares = {name: [row[4] for row in rows if row[0] == name] for name in _features(clips)}
    unequal = [name for name, of_label in shares.items() if max(of_label) - min(of_label) > UNEQUAL]
    for name in unequal:
        shown = ", ".join(f"{row[1]} {row[4]:.0%}" for row in rows if row[0] == name)
        _log.warning("%s is not measurable equally often: %s", name, shown)
    table["unequal"] = table["feature"].isin(unequal)
    return table


def _features(clips: pd.DataFrame) -> list[str]:
    present = set(clips["feature"])
    return [name for name in FEATURES if name in present]


def _cell(reasons: list[str]) -> tuple[int, int, float, str]:
    """Return n, n_valid, their ratio, and the most frequent reason for what is missing."""
    given = Counter(reason for reason in reasons if reason)
    n, n_valid = len(reasons), len(reasons) - given.total()
    return n, n_valid, n_valid / n if n else float("nan"), given.most_common(1)[0][0] if given else ""

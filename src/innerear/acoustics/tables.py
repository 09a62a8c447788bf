"""How often each clip feature could be measured."""

import logging
from collections import Counter

import pandas as pd

from innerear.acoustics.features import FEATURES
from innerear.errors import InputError

UNEQUAL = 0.2  # a larger difference between labels, in the share of clips with a value, is a warning

_log = logging.getLogger(__name__)


def validity(clips: pd.DataFrame, samples: pd.DataFrame, by: str = "emotion") -> pd.DataFrame:
    """Count, per label and feature, how many clips have a value; warn where labels differ.

    A feature that can be measured on energetic clips but not on calm ones makes up a difference between them.

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

    Examples
    --------
    >>> clips = pd.DataFrame({"sample_id": ["a", "b"], "feature": "tempo", "reason": ["", "no pulse"]})
    >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "emotion": "calm"})
    >>> validity(clips, samples)[["feature", "emotion", "n", "n_valid", "reason"]]
      feature emotion  n  n_valid    reason
    0   tempo    calm  2        1  no pulse
    """
    unknown = sorted(set(clips["sample_id"]) - set(samples["sample_id"]))
    if unknown:
        raise InputError(f"{unknown[0]!r} has clip features but is not in the index of samples")
    label_of = dict(zip(samples["sample_id"], samples[by], strict=True))
    labels = pd.Series([label_of[sample] for sample in clips["sample_id"]], clips.index)
    reasons_of = {
        key: reasons.tolist() for key, reasons in clips["reason"].groupby([clips["feature"], labels])
    }
    present, rows = set(clips["feature"]), []
    for name in filter(present.__contains__, FEATURES):
        for label in dict.fromkeys(samples[by]):
            reasons = reasons_of.get((name, label), [])
            given = Counter(filter(None, reasons))
            n, n_valid = len(reasons), len(reasons) - given.total()
            reason = given.most_common(1)[0][0] if given else ""
            rows.append((name, label, n, n_valid, n_valid / n if n else float("nan"), reason))
    table = pd.DataFrame(rows, columns=pd.Index(["feature", by, "n", "n_valid", "share", "reason"]))
    spread = {name: shares.max() - shares.min() for name, shares in table.groupby("feature")["share"]}
    table["unequal"] = [spread[name] > UNEQUAL for name in table["feature"]]
    for name, unequal in table[table["unequal"]].groupby("feature", sort=False):
        shown = ", ".join(
            f"{label} {one:.0%}" for label, one in zip(unequal[by], unequal["share"], strict=True)
        )
        _log.warning("%s is not measurable equally often: %s", name, shown)
    return table

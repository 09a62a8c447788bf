"""Count how often each clip feature could be measured."""

import logging

import pandas as pd

from innerear.acoustics.features import FEATURES
from innerear.errors import InputError
from innerear.io.names import command

UNEQUAL = 0.2  # a larger difference between emotions, in the share of clips with a value, is a warning

_log = logging.getLogger(__name__)


def require_clips(clips: pd.DataFrame, samples: pd.DataFrame) -> None:
    """Refuse features that were not measured on the clips of the index, each once.

    Parameters
    ----------
    clips : one row per sample and feature: sample_id, feature, audio_sha256.
    samples : the index of samples: sample_id, audio_sha256 and audio.

    Raises
    ------
    InputError: the clip whose features are missing, there twice, or of another file.
    """
    hashes = clips.groupby("sample_id")["audio_sha256"].agg(lambda one: "|".join(sorted(set(one)))).to_dict()
    names = clips.groupby("sample_id")["feature"].agg(lambda one: sorted(one)).to_dict()
    for sample, sha256, path in zip(
        *(samples[n] for n in ("sample_id", "audio_sha256", "audio")), strict=True
    ):
        if hashes.get(sample) != sha256 or names[sample] != sorted(FEATURES):
            raise InputError(
                f"the features of {sample} are not those of {path} as it is now; remake the tables in "
                f"acoustics/clips with: {command('--forcerun', 'acoustics')}"
            )


def validity(clips: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Count, per emotion and feature, how many clips have a value; warn where emotions differ.

    A feature that can be measured on energetic clips but not on calm ones makes up a difference between them.

    Parameters
    ----------
    clips : one row per sample and feature: sample_id, feature, reason (empty where valid).
    samples : the index of samples: sample_id and emotion; those of `require_clips` too.

    Returns
    -------
    One row per feature and emotion, in the order of `FEATURES` and of the index: feature, emotion, n,
    n_valid, share (0-1), reason (the most frequent one), unequal (bool: over the emotions, the
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
    names = pd.Index(FEATURES).intersection(pd.Index(clips["feature"]), sort=False)
    cells = pd.MultiIndex.from_product([names, samples["emotion"].unique()], names=["feature", "emotion"])
    reasons = clips.merge(samples[["sample_id", "emotion"]]).groupby(["feature", "emotion"])["reason"]
    counts = {"n": reasons.size(), "n_valid": reasons.agg(lambda one: (one == "").sum())}
    table = pd.DataFrame(counts).reindex(cells, fill_value=0)
    table["share"] = table["n_valid"] / table["n"]
    table["reason"] = reasons.agg(lambda one: next(iter(one[one != ""].value_counts().index), ""))
    of_feature = table.groupby("feature")["share"]
    table["unequal"] = of_feature.transform(lambda shares: shares.max() - shares.min() > UNEQUAL)
    table = table.fillna({"reason": ""}).reset_index()
    for name, unequal in table[table["unequal"]].groupby("feature", sort=False):
        shares = unequal.set_index("emotion")["share"]
        shown = ", ".join(f"{emotion} {share:.0%}" for emotion, share in shares.items())
        _log.warning("%s is not measurable equally often: %s", name, shown)
    return table

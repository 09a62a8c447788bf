"""Activations ↔ acoustics at the clip level: what a layer's average state says about the clip's sound.

A linear map from the layer to each acoustic feature is fitted on some templates and judged on another.
Emotion drives both the states and the sound, so a high R² need not go beyond the emotion label.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from innerear.design import Design, Fold
from innerear.errors import InputError
from innerear.gram import GramSource
from innerear.significance import CONFIDENCE, correct_over, null_table, record

#: penalties, in units of the mean eigenvalue of the training kernel
PENALTIES = tuple(10.0**k for k in range(-3, 4))
MAP_COLUMNS = ("statistic",)
# A seed without a value may be filled from its prompt, as long as few are.
MAX_MISSING = 0.1
# Permutations are scored in pieces of about this many columns, to stay in cache.
_COLUMNS_AT_ONCE = 4096

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerCorrelation:
    """What `layer_correlation` returns.

    Attributes
    ----------
    table : one row per branch and acoustic feature; common columns.
    null : null maxima, for `correlation_map`.
    """

    table: pd.DataFrame
    null: pd.DataFrame


def layer_correlation(
    gram: GramSource,
    clips: pd.DataFrame,
    design: Design,
    *,
    model: str,
    layer: int,
    window: str = "whole",
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
    what: str = "acoustics",
) -> LayerCorrelation:
    """Predict each acoustic feature from one layer's states, averaged over a window, on held-out templates.

    Parameters
    ----------
    gram : an open `GramFile` of `design`'s samples, in its order.
    clips : long table of `sample_id`, `feature`, `unit`, `value` (NaN where not measured) and `reason`.
    design : folds, permutations, bootstraps.
    model, layer : for the table's columns.
    window : of `window_gram`.
    n_permutations, n_bootstraps : rows of the design's tables to use.
    what : what is predicted, for the text of `null`.

    Returns
    -------
    See `LayerCorrelation`. `estimate` is R² of dual ridge regression over all held-out samples,
    against the mean of the *training* samples; the penalty is chosen by folds within the training
    set, for each feature. Its interval resamples templates, then seeds, of the held-out errors (the
    fits are not repeated). The null moves whole prompts' acoustics within templates and chooses
    penalties anew; `p_corrected` is max-T over features × branches of the layer, until
    `correlation_map` replaces it by max-T over layers too. A feature that a whole prompt lacks, or
    that more than 10 % of samples lack, is not used, with the reason in `null`; other gaps are
    filled with the mean of the prompt's seeds for fitting and are not scored. A branch whose states
    are equal for all samples predicts nothing: NaN, with the reason.

    Raises
    ------
    InputError: the Gram file holds other samples than the design, in another order, or `clips`
    lacks a sample or holds a feature of one twice.
    """
    design.check_order(gram.coords("sample"))
    position = [str(name) for name in gram.coords("window")].index(window)
    branches = [str(name) for name in gram.coords("branch")]
    targets = _targets(clips, design)
    try:
        folds = design.folds()
    except InputError as error:
        log.warning("correlation, layer %s: no estimates: %s", layer, error)
        targets, folds = targets.without_folds(str(error)), []
    fits = []
    for number in range(len(branches) if targets.usable.any() else 0):
        kernel = gram.read("window_gram", branch=number, window=position)
        ridge = _Ridge(kernel, folds, design) if kernel.any() else None
        fits.append(_fit(ridge, targets, design, n_permutations, n_bootstraps) if ridge else None)
    table = pd.concat(
        [_rows(targets, design).assign(branch=branch) for branch in branches], ignore_index=True
    )
    null = _fill(table, fits, targets, design, n_permutations, what)
    table = table.assign(model=model, layer=layer, window=window)
    return LayerCorrelation(table.reindex(columns=_COLUMNS), null)


def correlation_map(tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all layers and correct `p_corrected` over layers × features × branches.

    Parameters
    ----------
    tables, nulls : of each layer, from `LayerCorrelation`.
    """
    return correct_over(tables, nulls, MAP_COLUMNS, "layers × features × branches")


_COLUMNS = pd.Index(
    [
        *("model", "layer", "branch", "window", "feature", "unit", "statistic", "estimate", "ci_lo", "ci_hi"),
        *("p", "p_corrected", "score", "n_prompts", "n_valid", "n_perm", "min_p", "null", "family"),
    ]
)


@dataclass(frozen=True)
class _Targets:
    """Acoustic features as regression targets.

    Attributes
    ----------
    names, units : [F].
    values : float32 [N, F] of unit variance, gaps filled.
    valid : float32 [N, F], 1 where a value was measured; only those are scored.
    reasons : [F] why a feature cannot be used; empty where it can.
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

    def without_folds(self, why: str) -> "_Targets":
        """Return the same with no feature usable, for one reason."""
        return replace(self, reasons=[reason or why for reason in self.reasons])


def _targets(clips: pd.DataFrame, design: Design) -> _Targets:
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
    valid = np.isfinite(values)
    unit_of = {
        str(name): str(unit)
        for name, unit in zip(clips["feature"], clips["unit"], strict=True)
        if pd.notna(unit)
    }
    reasons = [_why_unusable(values[:, f], design, _reason(clips, name)) for f, name in enumerate(names)]
    filled = np.where(valid, values, _prompt_means(values, design)[design.prompt_of])
    centred = filled - filled.mean(axis=0)
    spread = centred.std(axis=0)
    scaled = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return _Targets(
        names,
        [unit_of.get(name, "") for name in names],
        np.where(np.isfinite(scaled), scaled, 0).astype(np.float32),
        valid.astype(np.float32),
        reasons,
    )


def _prompt_means(values: np.ndarray, design: Design) -> np.ndarray:
    """Mean over each prompt's measured seeds, [P, F]; NaN where there are none."""
    seeds = values[design.rows]  # [P, R, F]
    n = np.isfinite(seeds).sum(axis=1)
    return np.divide(np.nansum(seeds, axis=1), n, out=np.full(n.shape, np.nan), where=n > 0)


def _reason(clips: pd.DataFrame, feature: str) -> str:
    gaps = clips.loc[(clips["feature"] == feature) & clips["value"].isna(), "reason"]
    given = Counter(str(reason) for reason in gaps if not pd.isna(reason))
    return f" ({given.most_common(1)[0][0]})" if given else ""


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


class _Ridge:
    """Dual ridge regression of held-out samples, as linear operators on the targets.

    Predictions are linear in the targets once kernel, folds and penalty are given, so that all
    features and all permutations are columns of one matrix product (Saunders et al. 1998).
    """

    def __init__(self, kernel: np.ndarray, folds: Sequence[Fold], design: Design) -> None:
        kernel = np.asarray(kernel, float)
        self.outer = [_residuals(kernel, fold) for fold in folds]  # [folds][penalties, test, N]
        self.base = [_residuals_of_mean(len(kernel), fold) for fold in folds]  # [folds][test, N]
        self.inner = [_inner_residuals(kernel, fold.train, design) for fold in folds]
        self.folds = folds

    def errors(self, targets: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared held-out errors of ridge and of the training mean, both [N, columns]; 0 where not valid."""
        errors, base = np.zeros_like(targets), np.zeros_like(targets)
        for fold, outer, mean, inner in zip(self.folds, self.outer, self.base, self.inner, strict=True):
            chosen = self._penalties(inner, targets[fold.train], valid[fold.train])
            for number in np.unique(chosen):
                columns = np.flatnonzero(chosen == number)
                missed = outer[number] @ targets[:, columns]
                errors[np.ix_(fold.test, columns)] = missed**2
            base[fold.test] = (mean @ targets) ** 2
        return errors * valid, base * valid

    @staticmethod
    def _penalties(inner: np.ndarray | None, targets: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Number of the penalty with the least inner held-out error, for each column."""
        if inner is None:  # too few templates for folds within the training set
            return np.full(targets.shape[1], PENALTIES.index(1.0))
        losses = [((operator @ targets) ** 2 * valid).sum(axis=0) for operator in inner]
        return np.argmin(losses, axis=0)


def _residuals(kernel: np.ndarray, fold: Fold) -> np.ndarray:
    """Operators that turn targets into prediction − target of the test samples, [penalties, test, N]."""
    train, test = fold.train, fold.test
    n = len(train)
    within = kernel[np.ix_(train, train)]
    across = kernel[np.ix_(test, train)]
    mean = within.mean(axis=0)
    across = across - across.mean(axis=1, keepdims=True) - mean + mean.mean()  # centred on training samples
    within = within - mean - mean[:, None] + mean.mean()
    values, vectors = np.linalg.eigh(within)
    scale = max(float(values.mean()), np.finfo(float).tiny)
    projected = across @ vectors
    operators = np.zeros((len(PENALTIES), len(test), len(kernel)), np.float32)
    for number, penalty in enumerate(PENALTIES):
        hat = (projected / (np.maximum(values, 0) + penalty * scale)) @ vectors.T
        # Targets are centred on the training samples, whose mean is added back.
        operators[number][:, train] = hat - hat.mean(axis=1, keepdims=True) + 1 / n
    operators[:, np.arange(len(test)), test] -= 1
    return operators


def _residuals_of_mean(n_samples: int, fold: Fold) -> np.ndarray:
    operator = np.zeros((len(fold.test), n_samples), np.float32)
    operator[:, fold.train] = 1 / len(fold.train)
    operator[np.arange(len(fold.test)), fold.test] -= 1
    return operator


def _inner_residuals(kernel: np.ndarray, train: np.ndarray, design: Design) -> np.ndarray | None:
    """Residual operators over folds within a training set, [penalties, train, train]."""
    try:
        folds = design.subset(train).folds()
    except InputError:
        return None
    operators = np.zeros((len(PENALTIES), len(train), len(train)), np.float32)
    for fold in folds:
        operators[:, fold.test] = _residuals(kernel[np.ix_(train, train)], fold)
    return operators


@dataclass(frozen=True)
class _Fit:
    """R² of one branch's usable features F: observed [F], interval [2, F], null [m, F]."""

    observed: np.ndarray
    interval: np.ndarray
    null: np.ndarray


def _fit(ridge: _Ridge, targets: _Targets, design: Design, n_permutations: int, n_bootstraps: int) -> _Fit:
    values, valid = targets.values[:, targets.usable], targets.valid[:, targets.usable]
    n_samples, n_features = values.shape
    errors, base = ridge.errors(values, valid)
    counts = design.bootstraps(n_bootstraps).samples()  # [m, N]
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    interval = np.quantile(_r2(counts @ errors, counts @ base), tails, axis=0)
    null = np.empty((n_permutations, n_features))
    table = design.permutations(n_permutations)
    for rows in _pieces(n_permutations, n_features):
        moved = values[table[rows].T].reshape(n_samples, -1)  # [N, m * F]
        moved_valid = valid[table[rows].T].reshape(n_samples, -1)
        sums = (part.sum(axis=0).reshape(-1, n_features) for part in ridge.errors(moved, moved_valid))
        null[rows] = _r2(*sums)
    return _Fit(_r2(errors.sum(axis=0), base.sum(axis=0)), interval, null)


def _r2(errors: np.ndarray, base: np.ndarray) -> np.ndarray:
    return 1 - errors / np.maximum(base, np.finfo(np.float32).tiny)


def _pieces(m: int, n_features: int) -> Iterator[slice]:
    size = max(1, _COLUMNS_AT_ONCE // n_features)
    for start in range(0, m, size):
        yield slice(start, start + size)


def _rows(targets: _Targets, design: Design) -> pd.DataFrame:
    """One branch's rows, without results."""
    return pd.DataFrame(
        {
            "feature": targets.names,
            "unit": targets.units,
            "statistic": "held-out R²",
            "estimate": np.nan,
            "ci_lo": np.nan,
            "ci_hi": np.nan,
            "p": np.nan,
            "p_corrected": np.nan,
            "score": np.nan,
            "n_prompts": design.n_prompts,
            "n_valid": targets.valid.sum(axis=0).astype(int),
            "n_perm": 0,
            "min_p": np.nan,
            "null": [f"none: {reason}" if reason else "" for reason in targets.reasons],
            "family": "",
        }
    )


def _fill(
    table: pd.DataFrame,
    fits: Sequence[_Fit | None],
    targets: _Targets,
    design: Design,
    m: int,
    what: str,
) -> pd.DataFrame:
    """Write estimates and p-values into the rows of usable features; return the table of null maxima."""
    maxima, n_features, usable = [], len(targets.names), np.flatnonzero(targets.usable)
    for number, fit in enumerate(fits):
        if fit is None:
            table.loc[number * n_features + usable, "null"] = "none: all samples are equal (deterministic)"
    found = [(number * n_features + usable, fit) for number, fit in enumerate(fits) if fit is not None]
    if found:
        rows = np.concatenate([rows for rows, _ in found])
        observed = np.concatenate([fit.observed for _, fit in found])
        null = np.concatenate([fit.null for _, fit in found], axis=1)
        table.loc[rows, "estimate"] = observed
        table.loc[rows, ["ci_lo", "ci_hi"]] = np.concatenate([fit.interval for _, fit in found], axis=1).T
        result = design.test(observed, null, of="pairs", standardise=False)
        record(
            table,
            rows,
            result,
            min_p=design.smallest_p(m, of="pairs"),
            null=design.null_text(m, what),
            family="features × branches of this layer",
            why_not=[design.why_not(m, of="pairs")] * len(rows),
        )
        if np.isfinite(result.p).any():
            maxima.append(({"statistic": "held-out R²"}, result.null_max))
    return null_table(maxima, design.permutation_hash(m), MAP_COLUMNS, m)

"""Activations ↔ acoustics at the clip level: what a layer's average state says about the clip's sound.

A linear map from the layer to each acoustic feature is fitted on some templates and judged on another.
Emotion drives both the states and the sound, so a high R² need not go beyond the emotion label.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.gram.reading import GramSource
from innerear.statistics.clip_targets import Targets, clip_targets
from innerear.statistics.design import Design
from innerear.statistics.ridge import DualRidge, errors_of_mean, r2
from innerear.statistics.significance import CONFIDENCE, correct_over, null_table, record

WINDOWS = ("whole", "first_10", "last_10")
HELD_OUT, BEYOND = "held-out R²", "R² beyond the label"
MAP_COLUMNS = ("statistic",)
# Permutations are scored in pieces of about this many columns, to stay in cache.
_COLUMNS_AT_ONCE = 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerCorrelation:
    """What `layer_correlation` returns.

    Attributes
    ----------
    table : one row per statistic, window, branch and acoustic feature; common columns.
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
    windows: Sequence[str] = WINDOWS,
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
    what: str = "acoustics",
) -> LayerCorrelation:
    """Predict each acoustic feature from one layer's states, averaged over a window, on held-out templates.

    Parameters
    ----------
    gram : an open `GramFile` of `design`'s samples, in its order.
    clips : as of `clip_targets`.
    design : folds, permutations, bootstraps.
    model, layer : for the table's columns.
    windows : of `window_gram`; those that the file lacks, of very short clips, are left out.
    n_permutations, n_bootstraps : rows of the design's tables to use.
    what : what is predicted, for the text of `null`.

    Returns
    -------
    See `LayerCorrelation`. `held-out R²` is that of dual ridge regression over all held-out samples,
    against the mean of the *training* samples; the penalty is chosen by folds within the training
    set, for each feature. `R² beyond the label`, of the first window, is how much more of the same
    variance label and states predict together than the label does alone. Intervals resample
    templates, then seeds, of the held-out errors (the fits are not repeated). The null moves whole
    prompts' acoustics within templates, for what is beyond the label those acoustics' residuals from
    the means of the labels, or the line through the ratings (Freedman & Lane 1983), and chooses penalties
    anew; `p_corrected` is max-T over features × branches × windows of the layer, until `correlation_map`
    replaces it by max-T over layers too. A feature that a whole prompt lacks, or that more than 10 % of
    samples lack, is not used, with the reason in `null`; other gaps are filled with the mean of the
    prompt's seeds for fitting and are not scored. A branch whose states are equal for all samples predicts
    nothing: NaN, with the reason.

    Raises
    ------
    InputError: the Gram file holds other samples than the design, in another order, or `clips`
    lacks a sample or holds a feature of one twice.
    """
    design.check_order(gram.coords("sample"))
    available = [str(name) for name in gram.coords("window")]
    windows = [name for name in windows if name in available]
    branches = [str(name) for name in gram.coords("branch")]
    targets = clip_targets(clips, design)
    try:
        folds = design.folds()
    except InputError as error:
        log.warning("correlation, layer %s: no estimates: %s", layer, error)
        targets, folds = targets.without_folds(str(error)), []
    cells = [(window, branch, HELD_OUT) for window in windows for branch in branches]
    cells += [(window, branch, BEYOND) for window in windows[:1] for branch in branches]
    fits = []
    for window, branch, statistic in cells if targets.usable.any() else []:
        kernel = gram.read("window_gram", branch=branches.index(branch), window=available.index(window))
        labels = design.covariates.astype(np.float32) if statistic == BEYOND else None
        ridge = DualRidge(kernel, folds, design, labels) if kernel.any() else None
        fits.append(_fit(ridge, targets, design, n_permutations, n_bootstraps, labels) if ridge else None)
    table = pd.concat([_rows(targets, design, *cell) for cell in cells], ignore_index=True)
    null = _fill(table, fits, targets, design, n_permutations, what)
    table = table.assign(model=model, layer=layer)
    return LayerCorrelation(table.reindex(columns=_COLUMNS), null)


def correlation_map(tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all layers and correct `p_corrected` over layers × features × branches × windows.

    Parameters
    ----------
    tables, nulls : of each layer, from `LayerCorrelation`.
    """
    return correct_over(tables, nulls, MAP_COLUMNS, "layers × features × branches × windows")


_COLUMNS = pd.Index(
    [
        *("model", "layer", "branch", "window", "feature", "unit", "statistic", "estimate", "ci_lo", "ci_hi"),
        *("p", "p_corrected", "score", "n_prompts", "n_valid", "n_perm", "min_p", "null", "family"),
    ]
)


@dataclass(frozen=True)
class _Fit:
    """R² of one branch's usable features F: observed [F], interval [2, F], null [m, F]."""

    observed: np.ndarray
    interval: np.ndarray
    null: np.ndarray


def _fit(
    ridge: DualRidge,
    targets: Targets,
    design: Design,
    n_permutations: int,
    n_bootstraps: int,
    labels: np.ndarray | None,
) -> _Fit:
    """Score one branch and window; with the labels [N, Q], what it says beyond them."""
    values, valid = targets.values[:, targets.usable], targets.valid[:, targets.usable]
    n_samples, n_features = values.shape
    # Freedman & Lane: what the labels explain stays in place, and the rest moves.
    fixed = np.zeros_like(values) if labels is None else labels @ np.linalg.pinv(labels) @ values
    moving = values - fixed

    def explained(weights: np.ndarray | None, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """R², or the difference of two, [columns], or in resamples of weights [m, N], [m, columns]."""
        errors, base = ridge.errors(values, valid)
        total = base if labels is None else errors_of_mean(ridge.folds, values, valid)
        if weights is None:
            weights = np.ones(n_samples, np.float32)
        gain = 0 if labels is None else r2(weights @ base, weights @ total)
        return r2(weights @ errors, weights @ total) - gain

    counts = design.bootstraps(n_bootstraps).samples()  # [m, N]
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    interval = np.quantile(explained(counts, values, valid), tails, axis=0)
    null = np.empty((n_permutations, n_features))
    table = design.permutations(n_permutations)
    for rows in _pieces(n_permutations, n_features):
        moved = (fixed[:, None] + moving[table[rows].T]).reshape(n_samples, -1)  # [N, m * F]
        moved_valid = valid[table[rows].T].reshape(n_samples, -1)
        null[rows] = explained(None, moved, moved_valid).reshape(-1, n_features)
    return _Fit(explained(None, values, valid), interval, null)


def _pieces(m: int, n_features: int) -> Iterator[slice]:
    size = max(1, _COLUMNS_AT_ONCE // n_features)
    for start in range(0, m, size):
        yield slice(start, start + size)


def _rows(targets: Targets, design: Design, window: str, branch: str, statistic: str) -> pd.DataFrame:
    """The rows of one window and branch, without results."""
    return pd.DataFrame(
        {
            "window": window,
            "branch": branch,
            "feature": targets.names,
            "unit": targets.units,
            "statistic": statistic,
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
    targets: Targets,
    design: Design,
    m: int,
    what: str,
) -> pd.DataFrame:
    """Write estimates and p-values into the rows of usable features; return the table of null maxima."""
    maxima, n_features, usable = [], len(targets.names), np.flatnonzero(targets.usable)
    for number, fit in enumerate(fits):
        if fit is None:
            table.loc[number * n_features + usable, "null"] = "none: all samples are equal (deterministic)"
    placed = [(number * n_features + usable, fit) for number, fit in enumerate(fits) if fit is not None]
    for statistic, moved in ((HELD_OUT, what), (BEYOND, f"residuals of {what} from labels")):
        found = [(rows, fit) for rows, fit in placed if table["statistic"].iloc[rows[0]] == statistic]
        if not found:
            continue
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
            null=design.null_text(m, moved),
            family="features × branches × windows of this layer",
            why_not=[design.why_not(m, of="pairs")] * len(rows),
        )
        if np.isfinite(result.p).any():
            maxima.append(({"statistic": statistic}, result.null_max))
    return null_table(maxima, design.permutation_hash(m), MAP_COLUMNS, m)

"""How much of a layer's states does the sound explain, beyond the label?

The other direction of `innerear.analyses.sound`: label, sound, or both predict the states of held-out
templates, all dimensions with one penalty. The squared error of a linear predictor A over all
dimensions is tr(A K Aᵀ) with K the Gram matrix of the states, and permuting samples permutes K, so
that only the table of single dimensions reads features.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from innerear.errors import InputError
from innerear.gram.reading import GramSource
from innerear.statistics.clip_targets import Targets, clip_targets
from innerear.statistics.design import Design
from innerear.statistics.ridge import DualRidge, errors_of_mean, r2
from innerear.statistics.significance import correct_over, null_table, percentile_interval, record

WINDOWS = ("whole", "first_10", "last_10")
LABEL, SOUND, BOTH = "R² of the label", "R² of the sound", "R² of label and sound"
BEYOND_LABEL = "R² of the sound beyond the label"
STATISTICS = (LABEL, SOUND, BOTH, BEYOND_LABEL)
MAP_COLUMNS = ("statistic",)
# Values of permuted matrices held at once.
_AT_ONCE = 2**22

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerNested:
    """What `layer_nested` returns.

    Attributes
    ----------
    table : one row per window, branch and nested model; common columns.
    dimensions : one row per branch and dimension of the states; common columns.
    null : null maxima, for `nested_map`.
    """

    table: pd.DataFrame
    dimensions: pd.DataFrame
    null: pd.DataFrame


def layer_nested(
    gram: GramSource,
    clips: pd.DataFrame,
    design: Design,
    *,
    model: str,
    layer: int,
    windows: Sequence[str] = WINDOWS,
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
) -> LayerNested:
    """Predict one layer's states, averaged over a window, from label, sound, and both.

    Parameters
    ----------
    gram : an open `GramFile` of `design`'s samples, in its order.
    clips : as of `clip_targets`; its usable features, standardised, are the sound.
    design : labels, folds, permutations, bootstraps.
    model, layer : for the tables' columns.
    windows : of `window_gram`; those that the file lacks, of very short clips, are left out.
    n_permutations, n_bootstraps : rows of the design's tables to use.

    Returns
    -------
    See `LayerNested`. `R² of the label`: held-out templates' states predicted by the mean of their
    label (for ratings, by a line). `R² of the sound`: by dual ridge regression on the clip features,
    whose one penalty is chosen by folds within the training set. `R² of label and sound`: the label
    without penalty, and the sound. `R² of the sound beyond the label`: the difference of the last and
    the first. All are over all dimensions and samples, against the mean of the training samples. The
    null moves whole prompts' states within templates, which is the same as moving their labels and
    sounds; beyond the label, only the states' residuals from the means of the labels (Freedman & Lane
    1983). `p_corrected` is max-T over branches × windows, until `nested_map` replaces it by max-T over
    layers too. In `dimensions`, of the first window, the estimate is `R² of the sound` of that
    dimension alone, with the layer's penalty; `feature` is the clip feature whose prompt means
    correlate best with it, `r` that correlation, for description; `p_corrected` is Benjamini and
    Hochberg's within the layer and branch.

    Raises
    ------
    InputError: the Gram file holds other samples than the design, or in another order; `clips` as of
    `clip_targets`.
    """
    design.check_order(gram.coords("sample"))
    available = [str(name) for name in gram.coords("window")]
    windows = [name for name in windows if name in available]
    branches = [str(name) for name in gram.coords("branch")]
    targets = clip_targets(clips, design)
    why = _why_not(targets, design)
    if why:
        log.warning("nested models, layer %s: no estimates: %s", layer, why)
    cells = [(window, branch) for window in windows for branch in branches]
    models = None if why else _Models(targets, design, n_permutations, n_bootstraps)
    fits, dimensions = [], []
    for window, branch in cells:
        where = {"branch": branches.index(branch), "window": available.index(window)}
        states = gram.read("window_gram", **where).astype(float)
        fit = models.fit(states) if models and states.any() else None
        fits.append(fit)
        if window == windows[0]:
            features = gram.read("window_mean", **where).astype(float)
            dimensions.append(
                _dimensions(models if fit else None, fit, features, targets, design, why).assign(
                    branch=branch, window=window
                )
            )
    table, null = _tabulate(cells, fits, design, n_permutations, why)
    common = {"model": model, "layer": layer, "n_prompts": design.n_prompts}
    return LayerNested(
        table.assign(**common).reindex(columns=_COLUMNS),
        pd.concat(dimensions, ignore_index=True).assign(**common).reindex(columns=_OF_DIMENSIONS),
        null,
    )


def nested_map(tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all layers and correct `p_corrected` over layers × branches × windows.

    Parameters
    ----------
    tables, nulls : of each layer, from `LayerNested`.
    """
    return correct_over(tables, nulls, MAP_COLUMNS, "layers × branches × windows")


_COLUMNS = pd.Index(
    [
        *("model", "layer", "branch", "window", "statistic", "estimate", "ci_lo", "ci_hi"),
        *("p", "p_corrected", "score", "n_prompts", "n_perm", "min_p", "null", "family"),
    ]
)
_OF_DIMENSIONS = pd.Index(
    [
        *("model", "layer", "branch", "window", "dimension", "statistic", "estimate", "ci_lo", "ci_hi"),
        *("p", "p_corrected", "feature", "r", "n_prompts", "n_perm", "min_p", "null", "family"),
    ]
)


def _why_not(targets: Targets, design: Design) -> str:
    if not targets.usable.any():
        return "no clip feature can be used"
    try:
        design.folds()
    except InputError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class _Fit:
    """One branch and window: R² by statistic, observed [4] and null [m, 4]; interval [2, 4]."""

    observed: np.ndarray
    interval: np.ndarray
    null: np.ndarray
    chosen: np.ndarray  # [folds, 1 + m] penalty of the sound alone, observed first


class _Models:
    """The nested models, ready for the states of any branch, window and permutation."""

    def __init__(self, targets: Targets, design: Design, m: int, n_bootstraps: int) -> None:
        sound = targets.values[:, targets.usable].astype(float)
        self.design, self.folds = design, design.folds()
        self.labels = design.covariates  # [N, Q]
        kernel = sound @ sound.T
        self.alone = DualRidge(kernel, self.folds, design)
        self.both = DualRidge(kernel, self.folds, design, self.labels)
        self.table = design.permutations(m)
        self.counts = design.bootstraps(n_bootstraps).samples()  # [m, N]

    def fit(self, states: np.ndarray) -> _Fit:
        """Score the states' Gram matrix [N, N], observed and permuted."""
        still = np.arange(len(states))[None]
        (observed,), first = self._shares(states, still)
        null, chosen = [np.empty((0, len(STATISTICS)))], [first]
        for rows in _pieces(len(self.table), len(states) ** 2):
            shares, penalties = self._shares(states, self.table[rows])
            null.append(shares)
            chosen.append(penalties)
        return _Fit(observed, self._interval(states), np.concatenate(null), np.concatenate(chosen, axis=1))

    def _shares(self, states: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """R² of the four statistics in m permutations [m, N], as [m, 4], and the sound's penalties.

        Label and sound together, and what is beyond the label, are of states whose residuals moved.
        """
        moved = _moved(states, table)
        sound, total, chosen = self.alone.joint(moved)
        label = self.both.joint_base(moved)
        residuals_moved = self._residuals_moved(states, table)
        both, label_left, _ = self.both.joint(residuals_moved)
        total_left = self.alone.joint_base(residuals_moved)
        together = r2(both, total_left)
        beyond = together - r2(label_left, total_left)
        return np.stack([r2(label, total), r2(sound, total), together, beyond], axis=1), chosen

    def _residuals_moved(self, states: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Gram matrices [m, N, N] with the labels' means in place and the residuals exchanged."""
        mean = self.labels @ np.linalg.pinv(self.labels)  # projection on the labels' means
        left = np.eye(len(states)) - mean
        across = (left @ states @ mean).astype(np.float32)[table]  # [m, N, N]
        moved = _moved(left @ states @ left, table)
        moved += across
        moved += across.swapaxes(1, 2)
        return moved + (mean @ states @ mean).astype(np.float32)

    def _interval(self, states: np.ndarray) -> np.ndarray:
        """Ends of the intervals [2, 4]; templates, then seeds, of the held-out errors are resampled."""
        values, vectors = np.linalg.eigh(states)
        # Coordinates [N, N] whose inner products are the states', so that errors are sample by sample.
        scores = (vectors * np.sqrt(np.maximum(values, 0))).astype(np.float32)
        sums = {}
        for name, ridge in (("sound", self.alone), ("both", self.both)):
            errors = _errors_by_sample(ridge, scores, ridge.joint(states[None].astype(np.float32))[2][:, 0])
            sums[name] = self.counts @ errors
        ones = np.ones_like(scores)
        total = self.counts @ errors_of_mean(self.folds, scores, ones).sum(axis=1)
        label = np.zeros(len(scores))
        for fold, operator in zip(self.folds, self.both.base, strict=True):
            label[fold.test] = ((operator @ scores) ** 2).sum(axis=1)
        by_label, by_sound, by_both = (
            r2(errors, total) for errors in (self.counts @ label, sums["sound"], sums["both"])
        )
        boots = np.stack([by_label, by_sound, by_both, by_both - by_label], axis=1)
        low, high, _ = percentile_interval(np.zeros(len(STATISTICS)), boots, self.design.resampled)
        return np.stack([low, high])


def _pieces(m: int, size: int) -> Iterator[slice]:
    """Cut m permutations of `size` values each into pieces."""
    step = max(1, _AT_ONCE // size)
    for start in range(0, m, step):
        yield slice(start, start + step)


def _moved(gram: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Exchange the samples of a Gram matrix [N, N] as each row of a table [m, N] says, float32 [m, N, N]."""
    return gram.astype(np.float32)[table[:, :, None], table[:, None, :]]


def _errors_by_sample(ridge: DualRidge, values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Squared held-out errors of each sample [N], over the columns of values [N, columns]."""
    errors = np.zeros(len(values))
    for fold, outer, number in zip(ridge.folds, ridge.outer, chosen, strict=True):
        errors[fold.test] = ((outer[number] @ values) ** 2).sum(axis=1)
    return errors


def _tabulate(
    cells: Sequence[tuple[str, str]], fits: Sequence[_Fit | None], design: Design, m: int, why: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of one layer, and its null maxima."""
    gaps = dict.fromkeys(("estimate", "ci_lo", "ci_hi", "p", "p_corrected", "score", "min_p"), np.nan)
    table = pd.DataFrame(
        [(window, branch, statistic) for window, branch in cells for statistic in STATISTICS],
        columns=["window", "branch", "statistic"],
    ).assign(**gaps, n_perm=0, null="", family="")
    table["null"] = f"none: {why or 'all samples are equal (deterministic)'}"
    done = np.array([number for number, fit in enumerate(fits) if fit is not None], int)
    maxima = []
    for place, statistic in enumerate(STATISTICS if len(done) else ()):
        rows = done * len(STATISTICS) + place
        found = [fit for fit in fits if fit is not None]
        table.loc[rows, "estimate"] = [fit.observed[place] for fit in found]
        table.loc[rows, ["ci_lo", "ci_hi"]] = [fit.interval[:, place] for fit in found]
        if statistic == BOTH:
            table.loc[rows, "null"] = "none: its parts are tested"
            continue
        observed = table["estimate"].to_numpy(float)[rows]
        null = np.stack([fit.null[:, place] for fit in found], axis=1)
        of = "labels" if statistic == LABEL else "pairs"
        result = design.test(observed, null, of=of, standardise=False)
        what = "residuals of states from labels" if statistic == BEYOND_LABEL else "states"
        record(
            table,
            rows,
            result,
            min_p=design.smallest_p(m, of=of),
            null=design.null_text(m, what),
            family="branches × windows of this layer",
            why_not=[design.why_not(m, of=of)] * len(rows),
        )
        if np.isfinite(result.p).any():
            maxima.append(({"statistic": statistic}, result.null_max))
    return table, null_table(maxima, design.permutation_hash(m), MAP_COLUMNS, m)


def _dimensions(
    models: _Models | None, fit: _Fit | None, states: np.ndarray, targets: Targets, design: Design, why: str
) -> pd.DataFrame:
    """R² of the sound for each dimension of the states [N, D] of one branch."""
    gaps = dict.fromkeys(("estimate", "ci_lo", "ci_hi", "p", "p_corrected", "score", "min_p", "r"), np.nan)
    table = pd.DataFrame({"dimension": np.arange(states.shape[1]), "statistic": SOUND}).assign(
        **gaps,
        feature="",
        n_perm=0,
        null=f"none: {why or 'all samples are equal (deterministic)'}",
        family="",
    )
    if models is None or fit is None:
        return table
    centred = states - states.mean(axis=0)
    varies = np.flatnonzero(centred.std(axis=0) > 1e-6 * np.abs(states).max())
    table["null"] = "none: the dimension is equal for all samples"
    if not len(varies):
        return table
    scaled = (centred[:, varies] / centred[:, varies].std(axis=0)).astype(np.float32)
    table.loc[varies, ["feature", "r"]] = _closest_features(scaled, targets, design)
    found = _by_dimension(models, fit.chosen, scaled)
    table.loc[varies, "estimate"] = found[0]
    m = len(models.table)
    record(
        table,
        varies,
        design.test(found[0], found[1:], of="pairs", standardise=False),
        min_p=design.smallest_p(m, of="pairs"),
        null=design.null_text(m, "states"),
        family="",
        why_not=[design.why_not(m, of="pairs")] * len(varies),
    )
    tested = np.flatnonzero(np.isfinite(table["p"].to_numpy(float)))
    if len(tested):
        table.loc[tested, "p_corrected"] = false_discovery_control(table["p"].to_numpy(float)[tested])
        table.loc[tested, "family"] = "dimensions of this layer and branch (Benjamini-Hochberg)"
    return table


def _by_dimension(models: _Models, chosen: np.ndarray, states: np.ndarray) -> np.ndarray:
    """R² of each dimension of the states [N, D], observed and permuted, [1 + m, D]."""
    every = np.concatenate([np.arange(len(states))[None], models.table])  # [1 + m, N]
    errors, base = np.zeros((2, len(every), states.shape[1]))
    for number, (outer, alone) in enumerate(zip(models.alone.outer, models.alone.base, strict=True)):
        for penalty in np.unique(chosen[number]):
            rows = np.flatnonzero(chosen[number] == penalty)
            for some in _pieces(len(rows), states.size):
                moved = states[every[rows[some]].T]  # [N, m, D]
                flat = moved.reshape(len(states), -1)
                for sums, operator in ((errors, outer[penalty]), (base, alone)):
                    sums[rows[some]] += ((operator @ flat) ** 2).sum(axis=0).reshape(moved.shape[1:])
    return r2(errors, base)


def _closest_features(states: np.ndarray, targets: Targets, design: Design) -> list[list[object]]:
    """Name the clip feature whose prompt means correlate best with each dimension's, and give the r."""
    usable = np.flatnonzero(targets.usable)
    sides = []
    for values in (states, targets.values[:, usable]):
        means = values[design.rows].mean(axis=1)  # [P, …]
        means = means - means.mean(axis=0)
        sides.append(means / np.maximum(np.linalg.norm(means, axis=0), 1e-12))
    r = sides[0].T @ sides[1]  # [D, F]
    best = np.abs(r).argmax(axis=1)
    return [[targets.names[usable[f]], float(r[d, f])] for d, f in enumerate(best)]

"""The share of a layer's states that the sound explains beyond the label.

The other direction of `innerear.analyses.sound`: label, sound, or both predict the states of held-out
templates, all dimensions with one penalty. The squared error of a linear predictor A over all
dimensions is tr(A K Aᵀ) with K the Gram matrix of the states, and permuting samples permutes K. Only
the table of single dimensions therefore reads features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from innerear.gram.reading import WINDOWS, GramSource, window_products
from innerear.statistics.claims import benjamini_hochberg
from innerear.statistics.clip_targets import Targets, clip_targets, prompt_means
from innerear.statistics.design import Design
from innerear.statistics.design.template_contrasts import covariances, label_contrasts, of_kernel
from innerear.statistics.finding import HELD_OUT_R2, SHARE_LEFT, Finding
from innerear.statistics.label_distance import kernel_of_prompts
from innerear.statistics.pieces import pieces
from innerear.statistics.ridge import DualRidge, r2
from innerear.statistics.ridge.fold_spans import FoldSpans
from innerear.statistics.ridge.nested import joined_kernel, share_of_the_rest
from innerear.statistics.ridge.primal import PrimalRidge
from innerear.statistics.significance import percentile_interval
from innerear.statistics.table import INTERVAL, LayerResult, Maxima, blank, columns, record, record_flips

LABEL, SOUND, BOTH = "R² of the label", "R² of the sound", "R² of label and sound"
BEYOND_LABEL = "share of what the label leaves"
STATISTICS = (LABEL, SOUND, BOTH, BEYOND_LABEL)
MAP_COLUMNS = ("statistic",)
FAMILY = "layers × branches × windows"
COLUMNS = columns("branch", "window", "statistic", *INTERVAL)
_OF_DIMENSIONS = columns("branch", "window", "dimension", "statistic", *INTERVAL, "feature", "r").drop(
    "score"
)
_EQUAL = "all samples are equal (deterministic)"
# Values of permuted matrices held at once; products with few of them would wait for memory.
_AT_ONCE = 2**24
# Values of permuted states held at once, to stay in cache.
_STATES_AT_ONCE = 2**22


def of_layer(
    gram: GramSource, design: Design, clips: pd.DataFrame, windows: Sequence[str] = WINDOWS
) -> LayerResult:
    """Predict one layer's states, averaged over a window, from label, sound, and both.

    Parameters
    ----------
    clips : as `clip_targets` takes them; their usable features, standardised, are the sound.
    windows : of `window_mean`; those that the file lacks, of very short clips, are left out.

    Returns
    -------
    The table has a row per window, branch and statistic. All are over all dimensions and held-out samples,
    against the mean of the training samples:

    - *R² of the label*, *R² of the sound*, *R² of label and sound*: dual ridge regression on the label
      (indicators, or the rating), on the clip features, or on both; folds within the training set choose one
      penalty. The last is not tested;
    - *share of what the label leaves*: how much less the squared error of both is than that of the label, as
      a share of the latter (`statistics.nested`).

    The null moves whole prompts' states within templates, which is the same as moving their labels and
    sounds. Beyond the label it moves only the states' residuals from the labels' means (Freedman & Lane
    1983). `p_corrected` is max-T over branches × windows of the layer. `p_flip` asks whether templates agree
    on how states go with the label, or with the sound: signs are flipped of each template's contrasts between
    labels, or covariances with all features. What the label leaves in one template depends on the others: it
    has no `p_flip`.

    ``further["dimensions"]`` has a row per branch and dimension of the states, of the first window: *R² of
    the sound* of that dimension alone with the layer's penalty, the clip `feature` whose prompt means
    correlate best with it, and that correlation `r`, for description. `p_corrected` is Benjamini and
    Hochberg's within the branch.

    Raises
    ------
    InputError: as `clip_targets`.
    """
    targets = clip_targets(clips, design)
    why = design.why_no_folds if targets.usable.any() else "no clip feature can be used"
    windows = [name for name in windows if name in gram.labels("window")]
    cells = list(product(windows, gram.labels("branch")))
    models = None if why else _Models(targets, design)
    fits, dimensions = [], []
    for window, branch in cells:
        states = window_products(gram, branch, window).astype(float)
        fit = models.fit(states) if models and states.any() else None
        fits.append(fit)
        if window == windows[0]:
            features = gram.read("window_mean", branch=branch, window=window).astype(float)
            of_branch = _dimensions(models, fit, features, design, why or _EQUAL)
            dimensions.append(of_branch.assign(branch=branch, window=window))
    table, maxima = _tabulate(cells, fits, design, why or _EQUAL)
    further = {"dimensions": pd.concat(dimensions, ignore_index=True).reindex(columns=_OF_DIMENSIONS)}
    remarks = [f"no estimates: {why}"] if why else []
    return LayerResult(table, further=further, maxima=maxima, remarks=remarks)


@dataclass(frozen=True)
class _Fit:
    """One branch and window: R² by statistic, observed [4] and null [m, 4]; interval [2, 4]."""

    observed: np.ndarray
    interval: np.ndarray
    null: np.ndarray
    chosen: np.ndarray  # [folds, 1 + m] penalty of the sound alone, observed first
    agreement: Mapping[str, np.ndarray]  # of LABEL and SOUND, products of templates [T, T]


class _Models:
    """The nested models, ready for the states of any branch, window and permutation."""

    def __init__(self, targets: Targets, design: Design) -> None:
        _, sound = targets.used
        self.targets, self.design, self.labels = targets, design, design.covariates  # [N, Q]
        kernels = self.labels @ self.labels.T, sound @ sound.T
        self.of_labels = FoldSpans(self.labels, design.folds())
        self.of_all = FoldSpans(np.hstack([self.labels, sound]), design.folds())
        self.label = self.of_labels.ridge(joined_kernel(kernels[0]))
        self.alone = self.of_all.ridge(joined_kernel(kernels[1]))
        self.both = self.of_all.ridge(joined_kernel(*kernels))
        self.of_sound = PrimalRidge(sound, design.folds())
        self.few = sound.shape[1] < min(len(fold.test) for fold in design.folds())
        self.contrasts = {
            LABEL: label_contrasts(design).swapaxes(0, 1),  # [Q, T, P]
            SOUND: covariances(prompt_means(sound, design), design),  # [F, T, P]
        }
        self.table = design.permutations()
        self.counts = design.bootstraps().samples()  # [m, N]

    def fit(self, states: np.ndarray) -> _Fit:
        """Score the states' Gram matrix [N, N], observed and permuted."""
        moved = _Moved(states, self.labels)
        (observed,), first = self._shares(moved, np.arange(len(states))[None])
        null, chosen = [np.empty((0, len(STATISTICS)))], [first]
        for rows in pieces(len(self.table), self.of_all.basis.shape[1] ** 2, _AT_ONCE):
            shares, penalties = self._shares(moved, self.table[rows])
            null.append(shares)
            chosen.append(penalties)
        interval = self._interval(states, observed)
        prompts = kernel_of_prompts(states, self.design)
        agreement = {name: of_kernel(one, prompts).sum(axis=0) for name, one in self.contrasts.items()}
        return _Fit(observed, interval, np.concatenate(null), np.concatenate(chosen, axis=1), agreement)

    def _shares(self, moved: "_Moved", table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """R² [m, 4] of `STATISTICS` in permutations [m, N], and the sound's penalties.

        Those of label and sound together, and beyond the label, are of states whose residuals moved.
        """
        (states, outside), (residuals, outside_left) = moved.by(table, self.of_all)
        sound, total, chosen = self.alone.joint(states)
        both, total_left, _ = self.both.joint(residuals)
        sound, total = sound + outside, total + outside
        both, total_left = both + outside_left, total_left + outside_left
        label, label_left = (
            self.label.joint(products)[0] + rest for products, rest in moved.by(table, self.of_labels)
        )
        together, beyond = r2(both, total_left), share_of_the_rest(label_left, both, total_left)
        return np.stack([r2(label, total), r2(sound, total), together, beyond], axis=1), chosen

    def _interval(self, states: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Ends of the intervals [2, 4]; templates, then seeds, of the held-out errors are resampled."""
        states = states.astype(np.float32)
        total = self.counts @ _errors_by_sample(states, self.of_labels, self.label.base)
        label, sound, both = (
            self.counts @ _errors_by_sample(states, spans, ridge.chosen(_penalties(states, spans, ridge))[0])
            for spans, ridge in (
                (self.of_labels, self.label),
                (self.of_all, self.alone),
                (self.of_all, self.both),
            )
        )
        by_model = [r2(errors, total) for errors in (label, sound, both)]
        boots = np.stack([*by_model, share_of_the_rest(label, both, total)], axis=1)
        low, high, _ = percentile_interval(observed, boots, self.design.resampled)
        return np.stack([low, high])

    def by_dimension(self, chosen: np.ndarray, states: np.ndarray) -> np.ndarray:
        """R² of each dimension of the states [N, D], observed and permuted, [1 + m, D]."""
        every = np.concatenate([np.arange(len(states))[None], self.table])  # [1 + m, N]
        both = np.empty((2, len(every), states.shape[1]))
        errors = self.of_sound.errors if self.few else self._errors
        for rows in pieces(len(every), states.size, _STATES_AT_ONCE):
            both[:, rows] = errors(states, every[rows], chosen[:, rows])
        return r2(*both)

    def _errors(
        self, states: np.ndarray, table: np.ndarray, chosen: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `PrimalRidge.errors`; faster where a fold has fewer samples than there are clip features."""
        moved = self.of_all.moved(states, table)  # [m, k, D]
        outside = (states**2).sum(axis=0) - (moved**2).sum(axis=1)
        residuals = self.alone.chosen(chosen) @ moved, self.alone.of_the_mean(moved)
        by_sound, by_mean = ((one**2).sum(axis=1) + outside for one in residuals)
        return by_sound, by_mean


class _Moved:
    """The states' Gram matrix [N, N] under permutations of the samples."""

    def __init__(self, states: np.ndarray, labels: np.ndarray) -> None:
        vectors, sizes, _ = np.linalg.svd(labels, full_matrices=False)
        self.axes = vectors[:, sizes > 1e-9 * sizes[0]]  # axes @ axes.T projects on the labels' means
        self.states, self.energy = states.astype(np.float32), np.trace(states)
        self.across = states @ self.axes
        self.still = self.axes.T @ self.across
        self.left = self.across - self.axes @ self.still  # what residuals and means have in common

    def by(self, table: np.ndarray, spans: FoldSpans) -> list[tuple[np.ndarray, np.ndarray]]:
        """Exchange the samples as each row of a table [m, N] says.

        All of the states; and with the labels' means in place, the residuals alone. Of either the products in
        the spans, `packed`, float32 [m, pairs], and the squares that lie outside of them [m].
        """
        whole = spans.products(self.states, table)
        # With axes A, residuals Y − A Aᵀ Y that move and means A Aᵀ Y that stay, Y' = Y_π − (A_π − A) Aᵀ Y.
        change = spans.moved(self.axes, table) - spans.basis.T @ self.axes.astype(np.float32)
        half = spans.moved(self.across, table) - change @ (self.still / 2).astype(np.float32)
        rest = spans.both_ways(half, change)
        np.subtract(whole, rest, out=rest)
        energy = self.energy + 2 * np.einsum("mnq,nq->m", self.left[table], self.axes)
        return [(whole, self.energy - spans.trace(whole)), (rest, energy - spans.trace(rest))]


def _penalties(states: np.ndarray, spans: FoldSpans, ridge: DualRidge) -> np.ndarray:
    """Numbers of the penalties, int [folds, 1], of the observed states [N, N]."""
    return ridge.joint(spans.products(states, np.arange(len(states))[None]))[2]


def _errors_by_sample(states: np.ndarray, spans: FoldSpans, residuals: np.ndarray) -> np.ndarray:
    """Squared held-out errors [N] over all dimensions of states [N, N], of residuals in the spans [k, k]."""
    basis = spans.basis
    operator = np.eye(len(states), dtype=np.float32) + basis @ (residuals @ basis.T - basis.T)
    return np.einsum("ij,ij->i", operator @ states, operator)


def _tabulate(
    cells: Sequence[tuple[str, str]], fits: Sequence[_Fit | None], design: Design, why: str
) -> tuple[pd.DataFrame, list[Maxima]]:
    """The table of one layer, and its null maxima; `why` there are no estimates, where there are none."""
    rows = [(window, branch, statistic) for window, branch in cells for statistic in STATISTICS]
    table = pd.DataFrame(rows, columns=pd.Index(["window", "branch", "statistic"]))
    table = blank(table, design, null=f"none: {why}")
    done = np.array([number for number, fit in enumerate(fits) if fit is not None], int)
    found, maxima = [fit for fit in fits if fit is not None], []
    for place, statistic in enumerate(STATISTICS if found else ()):
        rows = done * len(STATISTICS) + place
        observed = np.array([fit.observed[place] for fit in found])
        table.loc[rows, "estimate"] = observed
        table.loc[rows, ["ci_lo", "ci_hi"]] = [fit.interval[:, place] for fit in found]
        if statistic == BOTH:
            table.loc[rows, "null"] = "none: its parts are tested"
            continue
        null = np.stack([fit.null[:, place] for fit in found], axis=1)
        moved = "residuals of states from labels" if statistic == BEYOND_LABEL else "states"
        how = {"moved": moved, "of": "labels" if statistic == LABEL else "pairs", "standardise": False}
        family = "branches × windows of this layer"
        maxima += record(table, rows, design, observed, null, family=family, **how)
        if statistic != BEYOND_LABEL:
            agreement = np.stack([fit.agreement[statistic] for fit in found])
            maxima += record_flips(table, rows, design, agreement, standardise=False)
    return table, maxima


def _dimensions(
    models: _Models | None, fit: _Fit | None, states: np.ndarray, design: Design, why: str
) -> pd.DataFrame:
    """R² of the sound for each dimension of the states [N, D] of one branch; `why` there is none."""
    rows = {"dimension": np.arange(states.shape[1]), "statistic": SOUND, "feature": "", "r": np.nan}
    table = blank(pd.DataFrame(rows), design, null=f"none: {why}")
    if models is None or fit is None:
        return table
    centred = states - states.mean(axis=0)
    varies = np.flatnonzero(centred.std(axis=0) > 1e-6 * np.abs(states).max())
    table["null"] = "none: the dimension is equal for all samples"
    if not len(varies):
        return table
    scaled = (centred[:, varies] / centred[:, varies].std(axis=0)).astype(np.float32)
    table.loc[varies, ["feature", "r"]] = _closest_features(scaled, models.targets, design)
    r2_of = models.by_dimension(fit.chosen, scaled)
    observed, null = r2_of[0], r2_of[1:]
    table.loc[varies, "estimate"] = observed
    how = {"family": "", "moved": "states", "of": "pairs", "standardise": False}
    record(table, varies, design, observed, null, **how)
    rows = np.flatnonzero(np.isfinite(table["p"].to_numpy(float)))
    if len(rows):
        table.loc[rows, "p_corrected"] = benjamini_hochberg(table["p"].to_numpy(float)[rows])
        table.loc[rows, "family"] = "dimensions of this layer and branch (Benjamini-Hochberg)"
    return table


def _closest_features(states: np.ndarray, targets: Targets, design: Design) -> list[list[object]]:
    """Return for each dimension the clip feature with the best correlation of prompt means, and this r."""
    usable = np.flatnonzero(targets.usable)
    sides = []
    for values in (states, targets.values[:, usable]):
        means = prompt_means(values, design)  # [P, …]
        means = means - means.mean(axis=0)
        sides.append(means / np.maximum(np.linalg.norm(means, axis=0), 1e-12))
    r = sides[0].T @ sides[1]  # [D, F]
    best = np.abs(r).argmax(axis=1)
    return [[targets.names[usable[f]], float(r[d, f])] for d, f in enumerate(best)]


FINDINGS = (
    Finding(
        "Does the sound explain the states of held-out clips?",
        "Yes, at {n_found} of {n_layers} layers: {effect} in layer {layer} of {branch} (window: {window}).",
        {"statistic": SOUND},
        "sound_and_label",
        meaning="held-out R² of the states; 0 or less without an effect",
        aside="The {contrast} may be what both share.",
        formula=HELD_OUT_R2,
    ),
    Finding(
        "Does the sound explain anything of the states beyond the {contrast}?",
        "Yes, at {n_found} of {n_layers} layers: it explains {effect} in layer {layer} of {branch} (window: "
        "{window}).",
        {"statistic": BEYOND_LABEL},
        "sound_and_label",
        unit="left",
        meaning="share of what the {contrast} leaves unexplained of the states that the sound explains, "
        "held out; 0 or less without an effect",
        formula=SHARE_LEFT,
    ),
)

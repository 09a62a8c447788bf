"""Predict a clip's sound from a layer's average states.

A linear map from the layer to each acoustic feature is fitted on some templates and judged on another.
The emotion drives both the states and the sound. A high R² therefore need not go beyond the emotion's label.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np
import pandas as pd

from innerear.gram.reading import WINDOWS, GramSource, window_products
from innerear.statistics.cells import write_estimates
from innerear.statistics.clip_targets import Targets, clip_targets, prompt_means
from innerear.statistics.design import Design
from innerear.statistics.design.template_contrasts import covariances, of_kernel
from innerear.statistics.finding import HELD_OUT_R2, SHARE_LEFT, Finding
from innerear.statistics.label_distance import kernel_of_prompts
from innerear.statistics.pieces import pieces
from innerear.statistics.ridge import DualRidge, r2
from innerear.statistics.ridge.fold_spans import FoldSpans
from innerear.statistics.ridge.nested import joined_kernel, share_of_the_rest
from innerear.statistics.significance import TIE
from innerear.statistics.table import INTERVAL, LayerResult, blank, columns, record, record_flips

HELD_OUT, BEYOND = "held-out R²", "share of what the label leaves"
MAP_COLUMNS = ("statistic",)
FAMILY = "layers × features × branches × windows"
# A feature's permutations are scored so many at once, to stay in cache.
_COLUMNS_AT_ONCE = 1024
#: which permutations matter, of those that are given by rows, and the least sums of these
Matter = Callable[..., np.ndarray | bool]
#: `DualRidge.sums`
Sums = Callable[..., tuple[np.ndarray, np.ndarray]]


def of_layer(
    gram: GramSource,
    design: Design,
    clips: pd.DataFrame,
    windows: Sequence[str] = WINDOWS,
    what: str = "acoustics",
) -> LayerResult:
    """Predict each acoustic feature of held-out clips from one layer's states, averaged over a window.

    Parameters
    ----------
    clips : as `clip_targets` takes them.
    windows : of `window_mean`; those that the file lacks, of very short clips, are left out.
    what : what is predicted, for the text of `null`.

    Returns
    -------
    A row per statistic, window, branch and feature.

    - *held-out R²*: dual ridge regression, over all held-out samples, against the mean of the *training*
      samples. Folds within the training set choose a penalty for each feature.
    - *share of what the label leaves*, of the first window: how much less the squared error of label and
      states together is than that of the label alone, as a share of the latter (`statistics.nested`).

    Intervals resample templates, then seeds, of the held-out errors; fits are not repeated. The null moves
    whole prompts' acoustics within templates, and chooses penalties anew. Beyond the label it moves their
    residuals from the labels' means, or from the line through the ratings (Freedman & Lane 1983).
    `p_corrected` is max-T over features × branches × windows of the layer. `p_flip` asks whether templates
    agree on the direction in which states go with the feature: signs are flipped of each template's
    covariances of the two. What the label leaves in one template depends on the others: it has no `p_flip`. A
    feature that cannot be used (see `clip_targets`) has a reason in `null`; filled gaps are not scored. A
    branch whose states are equal for all samples has NaN and a reason.

    Raises
    ------
    InputError: as `clip_targets`.
    """
    why = design.why_no_folds
    targets = clip_targets(clips, design).without(why)
    windows = [name for name in windows if name in gram.labels("window")]
    cells = {HELD_OUT: windows, BEYOND: windows[:1]}
    moved = {HELD_OUT: what, BEYOND: f"residuals of {what} from labels"}
    table = _untested(cells, gram.labels("branch"), targets, design)
    maxima = []
    for statistic in cells if targets.usable.any() else ():
        rows, observed, null, kernels = _fit(table, statistic, gram, targets, design)
        if len(rows):
            how = {"moved": moved[statistic], "of": "pairs", "standardise": False}
            family = "features × branches × windows of this layer"
            maxima += record(table, rows, design, observed, null, family=family, **how)
            if statistic == HELD_OUT:
                weights = covariances(prompt_means(targets.used[1], design), design)
                agreement = np.concatenate([of_kernel(weights, kernel) for kernel in kernels])
                maxima += record_flips(table, rows, design, agreement, standardise=False)
    return LayerResult(table, maxima=maxima, remarks=[f"no estimates: {why}"] if why else [])


COLUMNS = columns("branch", "window", "feature", "unit", "statistic", *INTERVAL, "n_valid")


def _untested(
    cells: dict[str, list[str]], branches: list[str], targets: Targets, design: Design
) -> pd.DataFrame:
    """Rows of all statistics, windows, branches and features, without results."""
    n_valid = targets.valid.sum(axis=0).astype(int)
    features = list(zip(targets.names, targets.units, n_valid, targets.nulls, strict=True))
    rows = [
        (statistic, window, branch, *feature)
        for statistic, windows in cells.items()
        for window, branch, feature in product(windows, branches, features)
    ]
    named = ["statistic", "window", "branch", "feature", "unit", "n_valid", "null"]
    table = pd.DataFrame(rows, columns=pd.Index(named))
    return blank(table, design)


def _fit(
    table: pd.DataFrame, statistic: str, gram: GramSource, targets: Targets, design: Design
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Score a statistic in all windows and branches, and write estimates and intervals into the table.

    Return the rows with an estimate, [cells], what was observed there, its null [m, cells], and the kernels
    [P, P] of prompt means of each window and branch.
    """
    beyond, folds, found, kernels = statistic == BEYOND, design.folds(), [], []
    columns, labels = _Columns(targets, design, labels_stay=beyond), design.covariates @ design.covariates.T
    of_label = of_label_moved = None
    if beyond:
        ridge = DualRidge(joined_kernel(labels), folds, groups=design.groups)
        # The few dimensions that labels span are quick, but do not tell samples apart, as gaps need it.
        of_spans = FoldSpans(design.covariates, folds).sums(joined_kernel(labels))
        of_label = columns.observed(ridge)[0]
        sums = of_spans if columns.valid is None else ridge.sums
        features = range(of_label.shape[1])
        of_label_moved = np.stack([columns.permuted(one, sums)[0] for one in features], axis=1)
    largest = np.full(len(columns.table), -np.inf)  # score of any cell so far in each permutation
    # Rows of one window and branch are neighbours.
    starts = np.flatnonzero(table["statistic"] == statistic)[:: len(targets.names)]
    for start in starts:
        rows = start + np.flatnonzero(targets.usable)
        window, branch = table.loc[start, ["window", "branch"]]
        kernel = window_products(gram, branch, window)
        if not kernel.any():
            table.loc[rows, "null"] = "none: all samples are equal (deterministic)"
            continue
        kernel_of_all = joined_kernel(labels, kernel) if beyond else kernel
        ridge = DualRidge(kernel_of_all, folds, groups=design.groups)
        observed, *boots = _score(columns.observed(ridge), of_label)
        null = _null(ridge, columns, observed, largest, of_label_moved)
        write_estimates(table, rows, design, observed, np.array(boots))
        found.append((rows, observed, null))
        kernels.append(kernel_of_prompts(kernel, design))
    if not found:
        return np.empty(0, int), np.empty(0), np.empty((0, 0)), []
    rows, observed, null = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
    return rows, observed, null, kernels


class _Columns:
    """The F usable features as targets, as observed and permuted; beyond the label only residuals move."""

    def __init__(self, targets: Targets, design: Design, *, labels_stay: bool) -> None:
        self.values, valid = targets.values[:, targets.usable], targets.valid[:, targets.usable]
        self.valid, self.table = None if valid.all() else valid, design.permutations()
        # Freedman & Lane: what the labels explain stays in place, and the rest moves.
        labels, self.fixed = design.covariates.astype(np.float32), np.zeros_like(self.values)
        if labels_stay:
            self.fixed = labels @ np.linalg.pinv(labels) @ self.values
        counts = design.bootstraps().samples()  # [bootstraps, N]
        self.weights = np.concatenate([np.ones((1, design.n_samples), np.float32), counts])

    def observed(self, ridge: DualRidge) -> np.ndarray:
        """Sum squared held-out errors of ridge, and of the training mean, as observed and in bootstraps.

        [2, 1 + bootstraps, F].
        """
        return np.stack([self.weights @ one for one in ridge.errors(self.values, self.valid)])

    def permuted(self, feature: int, sums: Sums, matter: Matter = lambda *_: True) -> np.ndarray:
        """Sum those of a feature in every permutation, [2, m], by `DualRidge.sums`."""
        found, own = np.empty((2, len(self.table))), self.values[:, feature] - self.fixed[:, feature]
        for rows in pieces(len(self.table), 1, _COLUMNS_AT_ONCE):
            places = self.table[rows].T
            moved = self.fixed[:, feature, None] + own[places]  # [N, m]
            valid = None if self.valid is None else self.valid[:, feature][places]
            found[:, rows] = sums(moved, valid, partial(matter, rows))
        return found


def _score(sums: np.ndarray | Sequence[np.ndarray], of_label: np.ndarray | None) -> np.ndarray:
    """Return R², or the share of a label model's squared errors if these are given."""
    errors, base = sums
    return r2(errors, base) if of_label is None else share_of_the_rest(of_label, errors, base)


def _null(
    ridge: DualRidge,
    columns: _Columns,
    observed: np.ndarray,
    largest: np.ndarray,
    of_label: np.ndarray | None,
) -> np.ndarray:
    """Score features in every permutation, [m, F].

    Penalties are chosen only where the choice matters. A score that no choice of penalties lifts to the
    observed one, nor to the `largest` [m] so far in that permutation, which is kept up here, counts neither
    for p nor for max-T. It is then the best of all choices.
    """
    null = np.empty((len(largest), len(observed)))
    for feature, seen in enumerate(observed):
        label = None if of_label is None else of_label[:, feature]

        def matter(rows: slice, *sums: np.ndarray, seen=seen, label=label) -> np.ndarray:
            best = _score(sums, None if label is None else label[rows])
            return (best >= seen - 2 * TIE) | (best >= largest[rows])

        null[:, feature] = _score(columns.permuted(feature, ridge.sums, matter), label)
        np.maximum(largest, null[:, feature], out=largest)
    return null


FINDINGS = (
    Finding(
        "Can the sound of held-out clips be predicted from the states?",
        "Yes, at {n_found} of {n_layers} layers: among the surest is {feature}, {effect} from layer {layer} "
        "of {branch}.",
        {"statistic": HELD_OUT, "window": WINDOWS[0]},
        "sound",
        meaning="held-out R² of a clip feature; 0 or less without an effect",
        aside="The {contrast} may be what both share.",
        formula=HELD_OUT_R2,
    ),
    Finding(
        "Do the states say anything about the sound beyond the {contrast}?",
        "Yes, at {n_found} of {n_layers} layers: among the surest is {feature}: layer {layer} of "
        "{branch} predicts {effect}.",
        {"statistic": BEYOND, "window": WINDOWS[0]},
        "sound_beyond",
        unit="left",
        meaning="share of what the {contrast} leaves unexplained of a clip feature that states explain, "
        "held out; 0 or less without an effect",
        formula=SHARE_LEFT,
    ),
)

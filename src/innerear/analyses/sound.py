"""What a layer's average states say about the clip's sound.

A linear map from the layer to each acoustic feature is fitted on some templates and judged on another.
The emotion drives both the states and the sound. A high R² therefore need not go beyond the emotion's label.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from innerear.gram.reading import GramSource
from innerear.statistics.cells import write_estimates
from innerear.statistics.clip_targets import Targets, clip_targets
from innerear.statistics.design import Design
from innerear.statistics.finding import Finding
from innerear.statistics.pieces import pieces
from innerear.statistics.ridge import DualRidge, errors_of_covariates, r2
from innerear.statistics.table import INTERVAL, LayerResult, blank, columns, record

WINDOWS = ("whole", "first_10", "last_10")
HELD_OUT, BEYOND = "held-out R²", "R² beyond the label"
MAP_COLUMNS = ("statistic",)
FAMILY = "layers × features × branches × windows"
# Permutations are scored in pieces of about this many columns, to stay in cache.
_COLUMNS_AT_ONCE = 1024


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
    windows : of `window_gram`; those that the file lacks, of very short clips, are left out.
    what : what is predicted, for the text of `null`.

    Returns
    -------
    A row per statistic, window, branch and feature.

    - *held-out R²*: dual ridge regression, over all held-out samples, against the mean of the *training*
      samples. Folds within the training set choose a penalty for each feature.
    - *R² beyond the label*, of the first window: R² of label and states together minus that of the label
      alone.

    Intervals resample templates, then seeds, of the held-out errors; fits are not repeated. The null moves
    whole prompts' acoustics within templates, and chooses penalties anew. Beyond the label it moves their
    residuals from the labels' means, or from the line through the ratings (Freedman & Lane 1983).
    `p_corrected` is max-T over features × branches × windows of the layer. A feature that cannot be used (see
    `clip_targets`) has a reason in `null`; filled gaps are not scored. A branch whose states are equal for
    all samples has NaN and a reason.

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
        rows, observed, null = _fit(table, statistic, gram, targets, design)
        if len(rows):
            how = {"moved": moved[statistic], "of": "pairs", "standardise": False}
            family = "features × branches × windows of this layer"
            maxima += record(table, rows, design, observed, null, family=family, **how)
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
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score a statistic in all windows and branches, and write estimates and intervals into the table.

    Return the rows with an estimate, [cells], what was observed there, and its null [m, cells].
    """
    labels = design.covariates.astype(np.float32) if statistic == BEYOND else None
    folds, found = design.folds(), []
    # Rows of one window and branch are neighbours.
    starts = np.flatnonzero(table["statistic"] == statistic)[:: len(targets.names)]
    for start in starts:
        rows = start + np.flatnonzero(targets.usable)
        window, branch = table.loc[start, ["window", "branch"]]
        kernel = gram.read("window_gram", branch=branch, window=window)
        if not kernel.any():
            table.loc[rows, "null"] = "none: all samples are equal (deterministic)"
            continue
        ridge = DualRidge(kernel, folds, design, labels)
        observed, boots, null = _scores(ridge, targets, design, labels)
        write_estimates(table, rows, design, observed, boots)
        found.append((rows, observed, null))
    if not found:
        return np.empty(0, int), np.empty(0), np.empty((0, 0))
    rows, observed, null = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
    return rows, observed, null


def _scores(
    ridge: DualRidge, targets: Targets, design: Design, labels: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R² of the F usable features from one kernel: observed [F], in bootstraps [·, F], permuted [m, F].

    With labels [N, Q]: what the kernel says beyond them.
    """
    values, valid = targets.values[:, targets.usable], targets.valid[:, targets.usable]
    n_samples, n_features = values.shape
    # Freedman & Lane: what the labels explain stays in place, and the rest moves.
    fixed = np.zeros_like(values) if labels is None else labels @ np.linalg.pinv(labels) @ values
    moving = values - fixed

    def explained(weights: np.ndarray | None, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """R², or the difference of two, [columns], or in resamples of weights [m, N], [m, columns]."""
        errors, base = ridge.errors(values, valid)
        total = base if labels is None else errors_of_covariates(ridge.folds, values) * valid
        if weights is None:
            weights = np.ones(n_samples, np.float32)
        gain = 0 if labels is None else r2(weights @ base, weights @ total)
        return r2(weights @ errors, weights @ total) - gain

    table = design.permutations()
    null = np.empty((len(table), n_features))
    for rows in pieces(len(table), n_features, _COLUMNS_AT_ONCE):
        permuted = (fixed[:, None] + moving[table[rows].T]).reshape(n_samples, -1)  # [N, m * F]
        permuted_valid = valid[table[rows].T].reshape(n_samples, -1)
        null[rows] = explained(None, permuted, permuted_valid).reshape(-1, n_features)
    counts = design.bootstraps().samples()  # [bootstraps, N]
    return explained(None, values, valid), explained(counts, values, valid), null


FINDINGS = (
    Finding(
        "Can the sound of held-out clips be predicted from the states?",
        "Yes, over all features, layers and branches: surest for {feature}, {effect}.",
        {"statistic": HELD_OUT, "window": WINDOWS[0]},
        "sound",
        meaning="held-out R² of a clip feature; 0 or less without an effect",
        aside="The {contrast} may be what both share.",
    ),
    Finding(
        "Do the states say more about the sound than the {contrast} does?",
        "Yes, over all features, layers and branches: surest for {feature}, {effect} beyond the {contrast}.",
        {"statistic": BEYOND, "window": WINDOWS[0]},
        "sound_beyond",
        meaning="what states add to the prediction of a clip feature; 0 or less without an effect",
    ),
)

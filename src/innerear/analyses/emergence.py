"""When does a label emerge, how suddenly, and do late states code it differently from early ones?

cond reads the text from step 0, so emergence there means nothing. The question is asked in uncond, where
only the music so far can carry the label, and in delta.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, stdtr, stdtrit

from innerear.errors import InputError
from innerear.gram.prompt_sums import ALL, GRAM, SAME, Prompts, read_sums, unpacked
from innerear.gram.reading import GramSource
from innerear.statistics.claims import holm
from innerear.statistics.design import Design
from innerear.statistics.design.prompt_pairs import PromptPairs
from innerear.statistics.finding import SMALLEST_EFFECTS, Finding
from innerear.statistics.label_distance import Distance, flipped_fold_products, permuted_sums
from innerear.statistics.pieces import pieces
from innerear.statistics.significance import ALPHA, CONFIDENCE, T_INTERVAL, first_of, with_interval
from innerear.statistics.table import (
    INTERVAL,
    LayerResult,
    Maxima,
    blank,
    columns,
    record,
    record_flip_null,
    record_flips,
)
from innerear.study.questions import QUESTIONS

BRANCHES = ("uncond", "delta")
SHAPES = ("constant", "step", "logistic", "linear")
ONSET, RISE, RISE_TIME = "onset", "held-out rise", "rise time, 10–90 %"
BEFORE, AFTER = "distance before the onset", "distance after the onset"
INTERACTION, DIFFERENCE = "label × window interaction", "difference of distances"
FIRST, LAST = "first_10", "last_10"
MAP_COLUMNS = ("branch", "statistic")
FAMILY = "layers of a branch"
#: distances below this share of the samples' variance do not interest; from less, an effect emerges
SMALLEST = SMALLEST_EFFECTS["distance"]
#: a logistic rise narrower than this (its scale, in steps) is called a step
SUDDEN = 2.0
# A change needs this many steps on either side.
_MARGIN = 2
_MIDPOINTS, _SCALES = 100, 16
# Shapes are also fitted under every relabeling, to fewer midpoints.
_FEW_MIDPOINTS = 25
_CURVES_AT_ONCE = 256
_BETWEEN = f"{LAST} − {FIRST}"
_VARIANCE = "÷ variance"
_DEFAULTS: dict[str, Any] = dict.fromkeys(("estimate", "ci_lo", "ci_hi", "preferred", "p_folds"), np.nan) | {
    **dict.fromkeys(("window", "unit", "interval", "answer"), ""),
    "null": "none: an estimate; whether labels differ at all is tested in discriminability",
}


def shape_error(shape: str) -> str:
    """Return the name of the statistic of a shape's held-out error."""
    return f"held-out error, {shape}"


def of_layer(gram: GramSource, design: Design, branches: Sequence[str] = BRANCHES) -> LayerResult:
    """Locate the onset of a label in one layer, judge its shape, and compare late with early; never in cond.

    One row per branch and statistic. From the cross-validated distance at every complete step, ÷ the samples'
    variance, of each fold (a template, up to ten) with the others:

    - held-out rise: the distance after the onset less that before it, negative for a fall; the onset is
      located on the other folds. Tested two-sided by relabeling and by sign flips of templates, which both
      say that no step has an effect. The interval is over folds, and nowhere narrower than the rises under
      relabeling are.
    - distance before and after the onset, with one-sided 95 % bounds.
    - onset: the first step after the one change of mean that fits best (binary segmentation); rise time from
      10 to 90 % of a logistic fit.
    - held-out error of each of `SHAPES`, fitted on the other folds, ÷ that of the constant. A shape is
      tested: is its error less than under relabeling? `preferred` is the share of bootstraps in which it has
      the least.

    `finish` says what follows, in `answer`. In every branch, from the features' averages over the first and
    last 10 % of steps: the cross-validated distance of labels in the *difference* last − first, tested by
    relabeling and by flips (is it another code?), both distances, and the difference of distances (is there
    more of it?).

    Raises
    ------
    InputError: cond among `branches`.
    """
    if "cond" in branches:
        raise InputError(
            "emergence in cond is not a finding: it reads the text from step 0; ask in uncond or delta"
        )
    steps = np.flatnonzero(gram.read("complete"))
    first = np.asarray(gram.coords("step"))[steps]  # where an entry averages several, their first
    seconds = gram.read("seconds")[steps] if "seconds" in gram else np.full(len(steps), np.nan)
    why, distance = _why_not(design, len(steps))
    frames, maxima = [], []
    for branch in gram.labels("branch"):
        if branch in branches and distance is None:
            reason = {"interval": f"none: {why}", "null": f"none: {why}"}
            frames.append(_table([{"statistic": name} | reason for name in (ONSET, RISE)], branch, design))
        elif branch in branches and distance:
            frame, tested = _emergence(_kernel(gram, branch, steps, design), distance, first, seconds, branch)
            frames.append(frame)
            maxima += tested
        frame, tested = _early_late(gram, branch, design)
        frames.append(frame)
        maxima += tested
    return LayerResult(pd.concat(frames, ignore_index=True), maxima=maxima)


COLUMNS = columns(
    "branch", "window", "statistic", "unit", *INTERVAL, "interval", "preferred", "p_folds", "answer"
)


def finish(table: pd.DataFrame) -> pd.DataFrame:
    """Say what the corrected tests allow; withhold onsets and rise times where nothing emerges.

    A rise must be more than relabeling gives, where no step has an effect, and more than the folds differ
    by, where all steps have the same: its `p_corrected` becomes the larger of that and of `p_folds`, a t
    test of the folds, after Holm over the layers of a branch.

    A label *emerges* where the rise is significant over layers, its interval lies above 0, and the distance
    before the onset is shown to be below `SMALLEST`. Else it is there from the first complete step, or
    nothing is shown.
    """
    for _, rows in table[table["p_folds"].notna()].groupby("branch", sort=False).groups.items():
        of_folds = holm(table.loc[rows, "p_folds"].to_numpy(float))
        table.loc[rows, "p_corrected"] = np.maximum(table.loc[rows, "p_corrected"], of_folds)
    for _, rows in table.groupby(["layer", "branch"], sort=False).groups.items():
        mine = table.loc[rows]
        if BEFORE not in set(mine["statistic"]):
            continue
        answer, emerges = _answer(mine.set_index("statistic"))
        table.loc[rows[mine["statistic"] == RISE], "answer"] = answer
        told = mine["statistic"].isin([ONSET, RISE_TIME]) & mine["estimate"].notna()
        if not emerges:
            table.loc[rows[told], ["estimate", "ci_lo", "ci_hi"]] = np.nan
            table.loc[rows[told], "interval"] = f"none: {answer}"
    return table


def _answer(rows: pd.DataFrame) -> tuple[str, bool]:
    """Return what the rows of a layer and branch say, and whether the label emerges."""
    rise, before = rows.loc[RISE], rows.loc[BEFORE]
    changes = rise["p_corrected"] <= ALPHA and not rise["ci_lo"] <= 0 <= rise["ci_hi"]
    there = before["ci_lo"] > 0
    if changes and rise["estimate"] > 0 and before["ci_hi"] < SMALLEST:
        return "emerges", True
    if not changes:
        return ("there from the first complete step; " if there else "") + "no change is shown", False
    moves = f"{'rises' if rise['estimate'] > 0 else 'falls'} by {abs(rise['estimate']):.2f}"
    if there:
        return f"there from the first complete step, and then {moves}", False
    return f"{moves}; that it was absent before is not shown", False


def _why_not(design: Design, n_steps: int) -> tuple[str, Distance | None]:
    """Say why no onset can be located, or return the distance."""
    if design.why_no_folds:
        return design.why_no_folds, None
    distance = Distance(design)
    if not distance.possible:
        return f"no two folds hold the same two {design.label}s", None
    if len(design.folds()) < 3:
        return "an onset that is located on the other folds needs three of them", None
    if n_steps < 4 * _MARGIN:
        return f"{n_steps} complete steps are too few", None
    return "", distance


def _table(rows: Sequence[dict[str, Any]], branch: str, design: Design) -> pd.DataFrame:
    return blank(pd.DataFrame([_DEFAULTS | row for row in rows]), design, branch=branch)


def _kernel(gram: GramSource, branch: str, steps: np.ndarray, design: Design) -> np.ndarray:
    """Products of prompts over other seeds [S, P, P] ÷ the samples' variance; 0 where all are equal."""
    every, same = (read_sums(gram, branch, GRAM, pairs)[: len(steps)] for pairs in (ALL, SAME))
    return _relative(every, same, design)


def _relative(every: np.ndarray, same: np.ndarray, design: Design) -> np.ndarray:
    pairs = PromptPairs(design)
    energy = pairs.variance(same)
    return pairs.other_mean(every, same) / np.where(energy > 0, energy, 1)[:, None, None]


def _curves(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each fold's own curve, and that of the others, both [m, F, S], of fold products [m, F, F, S].

    A fold's own is twice its mean product with the others less what these have without it. In the distance,
    a fold's noise counts twice: in its own differences and in the mean that the others' are compared with.
    So these curves average to the distance, and their noise is each fold's own.
    """
    n = products.shape[1]
    with_others = np.where(np.isnan(products), 0, products).sum(axis=2)  # [m, F, S]
    total = with_others.sum(axis=1, keepdims=True)
    rest = (total - 2 * with_others) / ((n - 1) * (n - 2))
    return 2 * with_others / (n - 1) - rest, rest


def _emergence(
    kernel: np.ndarray, distance: Distance, steps: np.ndarray, seconds: np.ndarray, branch: str
) -> tuple[pd.DataFrame, list[Maxima]]:
    """Rows of one branch, tested, from products of prompts [S, P, P]; and the null maxima."""
    design = distance.design
    identity = np.arange(design.n_prompts)[None]
    own, rest = _curves(distance.fold_products(kernel, identity))
    moved = _curves(distance.fold_products(kernel, design.prompt_permutations()))
    changes, null = _held_out_changes(own, rest)[0], _held_out_changes(*moved).mean(axis=1)  # [F], [m]
    rows = [
        _rise_row(changes, null),
        *_level_rows(own[0]),
        *_located(own[0], steps, seconds, design),
        *_shape_rows(own, rest, design),
    ]
    table, family = _table(rows, branch, design), "this layer and branch"
    row = np.array([0])
    maxima = record(table, row, design, np.abs(changes.mean())[None], np.abs(null)[:, None], family=family)
    if not design.why_no_flips():
        flipped = _curves(flipped_fold_products(distance.contrasts(kernel), design))
        flipped = np.abs(_held_out_changes(*flipped).mean(axis=1))[:, None]
        maxima += record_flip_null(table, row, design, flipped)
        table.loc[row, "k"] = (np.sign(changes) == np.sign(changes.mean())).sum()
    ratios = _relative_errors(*moved).mean(axis=2)  # [m, shapes]
    for number, name in enumerate(SHAPES[1:], start=1):
        mine = np.flatnonzero(table["statistic"] == shape_error(name))
        found = -table["estimate"].to_numpy(float)[mine]
        maxima += record(
            table, mine, design, found, -ratios[:, number, None], standardise=False, family=family
        )
    return table, maxima


def _held_out_changes(own: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Mean after less mean before the onset that the other folds have, [m, F], of curves [m, F, S]."""
    n_steps = own.shape[-1]
    sums, changes = np.cumsum(own, axis=-1), np.empty(own.shape[:2])
    for fold in range(own.shape[1]):
        onset = onsets(rest[:, fold])
        before = np.take_along_axis(sums[:, fold], onset[:, None] - 1, axis=1)[:, 0]
        changes[:, fold] = (sums[:, fold, -1] - before) / (n_steps - onset) - before / onset
    return changes


def _rise_row(changes: np.ndarray, null: np.ndarray) -> dict[str, Any]:
    """Row of the held-out rise from each fold's change [F] and the mean changes under relabeling [m]."""
    mean, margin = changes.mean(), _margin(changes[:, None], 0.5 + CONFIDENCE / 2)[0]
    drawn = np.quantile(np.abs(null), CONFIDENCE) if len(null) else 0.0
    text = f"{CONFIDENCE:.0%} {T_INTERVAL} of {len(changes)} folds"
    if drawn > margin:
        margin, text = drawn, f"{CONFIDENCE:.0%} of the rises under relabeling, about the estimate"
    ratio = abs(mean) / (changes.std(ddof=1) / np.sqrt(len(changes)) or np.inf)
    row = {"statistic": RISE, "unit": _VARIANCE, "estimate": mean}
    row["p_folds"] = 2 * stdtr(len(changes) - 1, -ratio)
    return row | {"ci_lo": mean - margin, "ci_hi": mean + margin, "interval": text}


def _margin(values: np.ndarray, level: float) -> np.ndarray:
    """Half the width of t intervals of means over folds, of values [F, cells]."""
    return stdtrit(len(values) - 1, level) * values.std(axis=0, ddof=1) / np.sqrt(len(values))


def _level_rows(own: np.ndarray) -> list[dict[str, Any]]:
    """Rows of the distance before and after the onset, of the folds' curves [F, S]."""
    onset = int(onsets(own.mean(axis=0)[None])[0])
    levels = np.stack([own[:, :onset].mean(axis=1), own[:, onset:].mean(axis=1)], axis=1)  # [F, 2]
    margin = _margin(levels, CONFIDENCE)
    text = f"two one-sided {CONFIDENCE:.0%} t bounds of {len(own)} folds"
    return [
        {"statistic": name, "unit": _VARIANCE, "estimate": mean, "interval": text}
        | {"ci_lo": mean - half, "ci_hi": mean + half}
        for name, mean, half in zip((BEFORE, AFTER), levels.mean(axis=0), margin, strict=True)
    ]


def _weights(design: Design) -> np.ndarray:
    """Share of each fold in every bootstrap, [m, F]."""
    counts = design.bootstraps().samples()
    shares = np.stack([counts[:, fold.test].sum(axis=1) for fold in design.folds()], axis=1)
    return shares / shares.sum(axis=1, keepdims=True)


def _located(own: np.ndarray, steps: np.ndarray, seconds: np.ndarray, design: Design) -> list[dict[str, Any]]:
    """Rows of the onset and the rise time, of the folds' curves [F, S]."""
    n_steps, text = len(steps), design.resampled_units
    curves = np.vstack([own.mean(axis=0), _weights(design) @ own])  # [1 + m, S]
    shapes, scales = logistic_shapes(n_steps, narrowest=0.25)
    times = 2 * np.log(9) * scales[fit_shape(curves, shapes)[0]] * (steps[1] - steps[0])
    found = [
        (ONSET, unit, np.interp(onsets(curves), np.arange(n_steps), axis))
        for unit, axis in (("step", steps.astype(float)), ("s", seconds))
    ]
    return [
        {"statistic": name, "unit": unit} | first_of(with_interval(values[:1], values[1:, None], text))
        for name, unit, values in (*found, (RISE_TIME, "step", times))
    ]


def _shape_errors(own: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Squared error of each shape, [m, shapes, F]: fitted on the others' curves, judged on a fold's own."""
    n_steps = own.shape[-1]
    logistic = logistic_shapes(n_steps, n_midpoints=_FEW_MIDPOINTS)[0]
    candidates = (step_shapes(n_steps), logistic, np.linspace(0, 1, n_steps)[None])
    errors = np.empty((len(own), len(SHAPES), own.shape[1]))
    for fold in range(own.shape[1]):
        train, test = rest[:, fold].astype(np.float32), own[:, fold]  # [m, S]
        level = train.mean(axis=1, keepdims=True)
        errors[:, 0, fold] = ((test - level) ** 2).mean(axis=1)
        for row, shapes in enumerate(candidates, start=1):
            chosen, height = fit_shape(train, shapes)
            shape = shapes[chosen] - shapes[chosen].mean(axis=1, keepdims=True)
            errors[:, row, fold] = ((test - level - height[:, None] * shape) ** 2).mean(axis=1)
    return errors


def _relative_errors(own: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Held-out errors ÷ the constant's mean error, [m, shapes, F]."""
    errors = _shape_errors(own, rest)
    return errors / np.maximum(errors[:, :1].mean(axis=2, keepdims=True), np.finfo(float).tiny)


def _shape_rows(own: np.ndarray, rest: np.ndarray, design: Design) -> list[dict[str, Any]]:
    """Rows of the held-out error of each shape, relative to the constant's, of curves [1, F, S]."""
    errors = _relative_errors(own, rest)[0]  # [shapes, F]
    resampled = _weights(design) @ errors.T  # [m, shapes]
    best = resampled.argmin(axis=1)
    found = with_interval(errors.mean(axis=1), resampled / resampled[:, :1], design.resampled_units)
    found |= {
        "statistic": [shape_error(name) for name in SHAPES],
        "preferred": [(best == i).mean() for i in range(len(SHAPES))],
    }
    return pd.DataFrame(found | {"unit": "÷ constant"}).to_dict("records")


def step_shapes(n_steps: int) -> np.ndarray:
    """Return all single steps, [n, S]: 0 before, 1 from step `k` on, for k = 2 … S − 2.

    Examples
    --------
    >>> step_shapes(5)
    array([[0., 0., 1., 1., 1.],
           [0., 0., 0., 1., 1.]])
    """
    change = np.arange(_MARGIN, n_steps - _MARGIN + 1)
    return (np.arange(n_steps) >= change[:, None]).astype(float)


def logistic_shapes(
    n_steps: int, narrowest: float = SUDDEN, n_midpoints: int = _MIDPOINTS
) -> tuple[np.ndarray, np.ndarray]:
    """Return logistic rises of many midpoints and scales, [n, S], and the scale of each in steps, [n]."""
    midpoints = np.linspace(0, n_steps - 1, min(n_steps, n_midpoints))
    widest = max(n_steps / 8, 2 * narrowest)
    scales = np.geomspace(narrowest, widest, _SCALES)
    middle, scale = (grid.ravel()[:, None] for grid in np.meshgrid(midpoints, scales))
    return expit((np.arange(n_steps) - middle) / scale), scale[:, 0]


def fit_shape(curves: np.ndarray, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit level + height × shape to curves [m, S] by least squares, with the best of shapes [n, S].

    Return the number of the shape and its height, both [m].
    """
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    energy = np.sqrt(np.maximum((centred**2).sum(axis=1), np.finfo(float).tiny))
    centred = (centred / energy[:, None]).astype(curves.dtype, copy=False)
    chosen, height = np.empty(len(curves), int), np.empty(len(curves))
    for rows in pieces(len(curves), 1, _CURVES_AT_ONCE):
        products = curves[rows] @ centred.T  # [m, n]
        best = np.abs(products).argmax(axis=1)
        chosen[rows], height[rows] = best, products[np.arange(len(best)), best] / energy[best]
    return chosen, height


def onsets(curves: np.ndarray) -> np.ndarray:
    """Return the first step after the best single change of mean of each curve [m, S], as [m].

    What `ruptures.Binseg` with squared error and one change finds; all curves at once.

    Examples
    --------
    >>> onsets(np.array([[0.0, 0.1, 0.0, 1.0, 1.1, 1.0]]))
    array([3])
    """
    return fit_shape(curves, step_shapes(curves.shape[1]))[0] + _MARGIN


def _early_late(gram: GramSource, branch: str, design: Design) -> tuple[pd.DataFrame, list[Maxima]]:
    """Rows of the first and last 10 % of steps in a branch, and the null maxima of the interaction."""
    reason, distance = design.why_no_folds, None if design.why_no_folds else Distance(design)
    if distance and not distance.possible:
        reason = f"no two folds hold the same two {design.label}s"
    if FIRST not in gram.labels("window"):
        reason = "too few complete steps for windows of 10 %"
    if reason or distance is None:
        why = f"none: {reason}"
        row = {"statistic": INTERACTION, "window": _BETWEEN, "null": why, "interval": why}
        return _table([row], branch, design), []
    kernel = _windows(gram, branch, design)  # [3, P, P]
    estimate = np.einsum("pq,cpq->c", distance.weights, kernel)
    boots = distance.bootstrap(kernel)
    estimate, boots = np.r_[estimate, estimate[2] - estimate[1]], np.c_[boots, boots[:, 2] - boots[:, 1]]
    names = {"statistic": [INTERACTION, "distance", "distance", DIFFERENCE], "unit": _VARIANCE}
    names["window"] = [_BETWEEN, FIRST, LAST, _BETWEEN]
    columns = names | with_interval(estimate, boots, design.resampled_units)
    table = _table(pd.DataFrame(columns).to_dict("records"), branch, design)
    null = permuted_sums(distance.weights, kernel[:1], design.prompt_permutations())
    first_row = np.array([0])
    maxima = record(table, first_row, design, estimate[:1], null, family="this layer and branch")
    return table, maxima + record_flips(table, first_row, design, distance.contrasts(kernel[:1]))


def _windows(gram: GramSource, branch: str, design: Design) -> np.ndarray:
    """Products of prompts over other seeds [3, P, P] of last − first, first and last 10 % of steps.

    ÷ the mean variance of the two windows.
    """
    first, last = (gram.read("window_mean", branch=branch, window=one).astype(float) for one in (FIRST, LAST))
    centred = [x - x.mean(axis=0) for x in (last - first, first, last)]
    variance = np.mean([np.square(x).sum() for x in centred[1:]]) / design.n_samples
    states = np.stack(centred) / (np.sqrt(variance) or 1.0)
    sums = unpacked(Prompts.of(design.samples).sums(states))  # [3, 2, P, P]
    return PromptPairs(design).other_mean(sums[:, 0], sums[:, 1])


FINDINGS = (
    Finding(
        QUESTIONS["emergence"],
        "A change is shown, at {n_found} of {n_layers} layers: in layer {layer} by {effect} ({range} over "
        "layers): {answer}.",
        {"statistic": RISE, "branch": "uncond"},
        "emergence",
        key="emergence",
        unit="distance",
        meaning="squared distance of two labels' means after the onset less that before it, on held-out "
        "templates; 0 without a change",
        signed=True,
        formula="mean over held-out templates of d(after the onset) − d(before); d: mean of (aₛ − bₛ) "
        "· (aₜ − bₜ) ÷ variance; the onset is of the other templates",
    ),
    Finding(
        "Do the states code {contrasts} differently in the last tenth than in the first?",
        "Yes, at {n_found} of {n_layers} layers: the difference of two {contrasts} changes by {effect} in "
        "layer {layer} of {branch} ({range} over layers and branches).",
        {"statistic": INTERACTION},
        "early_late",
        unit="distance",
        choices=("branch",),
        meaning="squared length of the change of two labels' difference, cross-validated over templates; 0 "
        "without an effect",
        formula="mean of Δₛ · Δₜ over templates s ≠ t and labels a ≠ b, Δ = (a − b in the last tenth) "
        "− (a − b in the first), ÷ variance",
    ),
)

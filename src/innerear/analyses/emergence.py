"""When a label emerges, how suddenly, and whether late states code it differently from early ones.

cond reads the text from step 0, so emergence there means nothing. The question is asked in uncond, where
only the music so far can carry the label, and in delta.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, stdtrit

from innerear.errors import InputError
from innerear.gram.reading import GramSource
from innerear.statistics.design import Design
from innerear.statistics.finding import Finding
from innerear.statistics.label_distance import Distance, permuted_sums, prompt_means
from innerear.statistics.pieces import pieces
from innerear.statistics.probes import evidence, evidence_null_by_prompt, held_out_operators
from innerear.statistics.significance import ALPHA, CONFIDENCE, first_of, with_interval
from innerear.statistics.table import INTERVAL, LayerResult, Maxima, blank, columns, record
from innerear.study.questions import QUESTIONS

BRANCHES = ("uncond", "delta")
SHAPES = ("constant", "step", "logistic", "linear")
ONSET, RISE, RISE_TIME, CLIPS = "onset", "held-out rise", "rise time, 10–90 %", "median onset of single clips"
INTERACTION, DIFFERENCE = "label × window interaction", "difference of distances"
FIRST, LAST = "first_10", "last_10"
MAP_COLUMNS = ("branch", "statistic")
FAMILY = "layers of a branch"
#: a logistic rise narrower than this (its scale, in steps) is called a step
SUDDEN = 2.0
# A change needs this many steps on either side.
_MARGIN = 2
_MIDPOINTS, _SCALES = 100, 16
_CURVES_AT_ONCE = 256
_BETWEEN = f"{LAST} − {FIRST}"
_DEFAULTS: dict[str, Any] = dict.fromkeys(("estimate", "ci_lo", "ci_hi", "preferred"), np.nan) | {
    **dict.fromkeys(("window", "unit", "interval"), ""),
    "null": "none: an estimate; whether labels differ at all is tested in discriminability",
}


def of_layer(gram: GramSource, design: Design, branches: Sequence[str] = BRANCHES) -> LayerResult:
    """Locate the onset of a label in one layer, judge its shape, and compare late with early; never in cond.

    One row per branch and statistic; and `evidence` [branch, step, sample] of the complete steps. From each
    sample's held-out probe evidence at every complete step:

    - held-out rise: the evidence after the onset less that before it; the onset is located on the
      other templates. Tested by relabeling (without templates by the first 99 permutations, with probes
      fitted anew). Its t interval is over templates, since few units make percentile intervals too narrow.
      Where the interval does not lie above 0, onset and rise time are NaN; `finish` also asks for
      significance over layers.
    - onset: the first step after the one change of mean that fits best (binary segmentation), and
      the same for single clips, their median; rise time from 10 to 90 % of a logistic fit.
    - held-out error of each of `SHAPES`, fitted on the other templates' mean, ÷ that of the constant;
      `preferred` is the share of bootstraps of templates in which the shape has the least.

    Intervals resample templates, then seeds; probes are not fitted again. In every branch, from the
    features' averages over the first and last 10 % of steps: the cross-validated distance of labels in the
    *difference* last − first, tested by relabeling (is it another code?), both distances, and the
    difference of distances (is there more of it?).

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
    asked, why = [name for name in gram.labels("branch") if name in branches], design.why_no_folds
    by_step, frames, maxima = np.full((len(asked), len(steps), design.n_samples), np.nan), [], []
    for number, branch in enumerate(asked):
        if why:
            frames.append(_table([{"statistic": ONSET, "interval": f"none: {why}"}], branch, design))
            continue
        kernel = _kernel(gram, branch, steps)
        operators = held_out_operators(kernel, design)
        by_step[number] = evidence(operators, design)
        frame = _table(_emergence(by_step[number], first, seconds, design), branch, design)
        maxima += _test_rise(frame, kernel, operators, design)
        frames.append(frame)
    for branch in gram.labels("branch"):
        frame, tested = _early_late(gram, branch, design)
        maxima += tested
        frames.append(frame)
    coords = {"branch": np.array(asked), "step": first.astype(np.int32)}
    return LayerResult(
        pd.concat(frames, ignore_index=True),
        arrays={"evidence": (("branch", "step", "sample"), by_step.astype(np.float32))},
        coords=coords | {"sample": np.asarray(gram.coords("sample"))},
        maxima=maxima,
    )


COLUMNS = columns("branch", "window", "statistic", "unit", *INTERVAL, "interval", "preferred")


def finish(table: pd.DataFrame) -> pd.DataFrame:
    """Withhold onsets and rise times where the rise is not significant after correction over layers."""
    established = table.iloc[np.flatnonzero((table["statistic"] == RISE) & (table["p_corrected"] <= ALPHA))]
    places = set(zip(established["layer"], established["branch"], strict=True))
    lacking = [place not in places for place in zip(table["layer"], table["branch"], strict=True)]
    gated = table["statistic"].isin([ONSET, CLIPS, RISE_TIME]) & table["estimate"].notna() & np.array(lacking)
    table.loc[gated, ["estimate", "ci_lo", "ci_hi"]] = np.nan
    table.loc[gated, "interval"] = "none: the rise is not significant"
    return table


def _table(rows: Sequence[dict[str, Any]], branch: str, design: Design) -> pd.DataFrame:
    return blank(pd.DataFrame([_DEFAULTS | row for row in rows]), design, branch=branch)


def _kernel(gram: GramSource, branch: str, steps: np.ndarray) -> np.ndarray:
    """Gram matrices [S, N, N] of a branch's steps; 0 where all samples are equal."""
    kernel = gram.read("gram", branch=branch)[steps].astype(float)
    kernel[gram.read("deterministic", branch=branch)[steps]] = 0
    return kernel


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


def logistic_shapes(n_steps: int, narrowest: float = SUDDEN) -> tuple[np.ndarray, np.ndarray]:
    """Return logistic rises of many midpoints and scales, [n, S], and the scale of each in steps, [n]."""
    midpoints = np.linspace(0, n_steps - 1, min(n_steps, _MIDPOINTS))
    widest = max(n_steps / 8, 2 * narrowest)
    scales = np.geomspace(narrowest, widest, _SCALES)
    middle, scale = (grid.ravel()[:, None] for grid in np.meshgrid(midpoints, scales))
    return expit((np.arange(n_steps) - middle) / scale), scale[:, 0]


def fit_shape(curves: np.ndarray, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit level + height × shape to curves [m, S] by least squares, with the best of shapes [n, S].

    Return the number of the shape and its height, both [m].
    """
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    energy = np.maximum((centred**2).sum(axis=1), np.finfo(float).tiny)
    chosen, height = np.empty(len(curves), int), np.empty(len(curves))
    for rows in pieces(len(curves), 1, _CURVES_AT_ONCE):
        products = curves[rows] @ centred.T  # [m, n]
        chosen[rows] = (products**2 / energy).argmax(axis=1)
        height[rows] = np.take_along_axis(products / energy, chosen[rows, None], axis=1)[:, 0]
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


def _emergence(
    by_step: np.ndarray, steps: np.ndarray, seconds: np.ndarray, design: Design
) -> list[dict[str, Any]]:
    """Rows of one branch from its evidence [S, N]."""
    n_steps = len(steps)
    if n_steps < 4 * _MARGIN:
        return [{"statistic": ONSET, "interval": f"none: {n_steps} complete steps are too few"}]
    counts = design.bootstraps().samples()  # [m, N]
    weights = counts / counts.sum(axis=1, keepdims=True)
    curves = np.vstack([by_step.mean(axis=1), weights @ by_step.T])  # [1 + m, S]
    row = _rise_row(by_step, design)
    why = "" if row["ci_lo"] > 0 else "none: held-out evidence does not rise"
    clips = onsets(by_step.T)
    order = np.argsort(clips)
    half = np.cumsum(weights[:, order], axis=1) >= 0.5
    medians = np.r_[np.median(clips), clips[order][half.argmax(axis=1)]]
    shapes, scales = logistic_shapes(n_steps, narrowest=0.25)
    times = 2 * np.log(9) * scales[fit_shape(curves, shapes)[0]] * (steps[1] - steps[0])
    located = [
        _estimate(name, unit, np.interp(values, np.arange(n_steps), axis), design, why)
        for name, values in ((ONSET, onsets(curves)), (CLIPS, medians))
        for unit, axis in (("step", steps.astype(float)), ("s", seconds))
    ]
    rise_time = _estimate(RISE_TIME, "step", times, design, why)
    return [row, *located, rise_time, *_shape_errors(by_step, design, counts)]


def _rise_row(by_step: np.ndarray, design: Design) -> dict[str, Any]:
    """Row of the held-out rise of evidence [S, N], with its t interval over folds."""
    folds = [by_step[:, fold.test].mean(axis=1) for fold in design.folds()]
    rises = _held_out_rises(np.stack(folds)[:, None])[:, 0]
    margin = stdtrit(len(rises) - 1, 0.5 + CONFIDENCE / 2) * rises.std(ddof=1) / np.sqrt(len(rises))
    low, high = rises.mean() - margin, rises.mean() + margin
    text = f"{CONFIDENCE:.0%} t interval of {len(rises)} held-out folds"
    row = {"statistic": RISE, "unit": "evidence", "estimate": rises.mean()}
    return row | {"ci_lo": low, "ci_hi": high, "interval": text}


def _estimate(name: str, unit: str, values: np.ndarray, design: Design, why_not: str) -> dict[str, Any]:
    """Row of an estimate and its bootstraps, [1 + m]; without numbers if `why_not`."""
    row = {"statistic": name, "unit": unit}
    if why_not:
        return row | {"interval": why_not}
    return row | first_of(with_interval(values[:1], values[1:, None], design.resampled))


def _held_out_rises(curves: np.ndarray) -> np.ndarray:
    """Evidence after less before the onset that the other folds have, [F, m], of curves [F, m, S]."""
    n_folds, _, n_steps = curves.shape
    sums, rises = np.cumsum(curves, axis=-1), np.empty(curves.shape[:2])
    for fold in range(n_folds):
        onset = onsets(np.delete(curves, fold, axis=0).mean(axis=0))
        before = np.take_along_axis(sums[fold], onset[:, None] - 1, axis=1)[:, 0]
        rises[fold] = (sums[fold, :, -1] - before) / (n_steps - onset) - before / onset
    return rises


def _test_rise(
    table: pd.DataFrame, kernel: np.ndarray, operators: np.ndarray, design: Design
) -> list[Maxima]:
    """Fill in the p of the held-out rise by relabeling; return its null maxima, if any.

    Each fold is scored by probes that were fitted on the others, so chance rises come together in
    all folds: an interval over folds alone would find too many.
    """
    row = np.flatnonzero(table["statistic"] == RISE)
    if not len(row):
        return []
    if design.blocked:
        by_prompt = evidence_null_by_prompt(operators, design)  # [m, P, S]
    else:
        by_prompt = _refitted_evidence(kernel, design)
    prompts = [np.unique(design.prompt_of[fold.test]) for fold in design.folds()]
    curves = np.stack([by_prompt[:, some].mean(axis=1) for some in prompts])  # [F, m, S]
    null = _held_out_rises(curves).mean(axis=0)[:, None]
    observed = table["estimate"].to_numpy(float)[row]
    return record(table, row, design, observed, null, family="this layer and branch")


def _refitted_evidence(kernel: np.ndarray, design: Design) -> np.ndarray:
    """Mean evidence [m, P, S] in the prompts' places under exchanges of them, with probes fitted anew."""
    orders = design.exchanges()
    by_prompt = np.empty((len(orders), design.n_prompts, len(kernel)))
    for k, order in enumerate(orders):
        operators = held_out_operators(kernel[:, order[:, None], order], design)
        by_prompt[k] = evidence(operators, design)[:, design.rows].mean(axis=-1).T
    return by_prompt


def _shape_errors(by_step: np.ndarray, design: Design, counts: np.ndarray) -> list[dict[str, Any]]:
    """Rows of the held-out error of each shape, relative to the constant's."""
    n_steps, folds = len(by_step), design.folds()
    candidates = (step_shapes(n_steps), logistic_shapes(n_steps)[0], np.linspace(0, 1, n_steps)[None])
    errors, share = np.empty((len(SHAPES), len(folds))), np.empty((len(counts), len(folds)))
    for number, fold in enumerate(folds):
        train, test = by_step[:, fold.train].mean(axis=1), by_step[:, fold.test].mean(axis=1)
        errors[0, number] = ((test - train.mean()) ** 2).mean()
        for row, shapes in enumerate(candidates, start=1):
            chosen, height = fit_shape(train[None], shapes)
            shape = shapes[chosen[0]]
            fitted = train.mean() + height[0] * (shape - shape.mean())
            errors[row, number] = ((test - fitted) ** 2).mean()
        share[:, number] = counts[:, fold.test].sum(axis=1)
    resampled = share @ errors.T  # [m, shapes]
    best = resampled.argmin(axis=1)
    ratio = errors.mean(axis=1) / errors[0].mean()
    columns = with_interval(ratio, resampled / resampled[:, :1], design.resampled) | {
        "statistic": [f"held-out error, {name}" for name in SHAPES],
        "preferred": [(best == i).mean() for i in range(len(SHAPES))],
    }
    return pd.DataFrame(columns | {"unit": "÷ constant"}).to_dict("records")


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
    first, last = (gram.read("window_mean", branch=branch, window=one).astype(float) for one in (FIRST, LAST))
    centred = [x - x.mean(axis=0) for x in (last - first, first, last)]
    kernel = np.stack([x @ x.T for x in centred])  # [3, N, N]
    kernel /= np.trace(kernel[1:], axis1=1, axis2=2).mean() / design.n_samples or 1.0
    prompts = prompt_means(kernel, design)
    estimate = np.einsum("pq,cpq->c", distance.weights, prompts)
    boots = distance.bootstrap(kernel)
    estimate, boots = np.r_[estimate, estimate[2] - estimate[1]], np.c_[boots, boots[:, 2] - boots[:, 1]]
    names = {"statistic": [INTERACTION, "distance", "distance", DIFFERENCE], "unit": "÷ variance"}
    names["window"] = [_BETWEEN, FIRST, LAST, _BETWEEN]
    columns = names | with_interval(estimate, boots, design.resampled)
    table = _table(pd.DataFrame(columns).to_dict("records"), branch, design)
    null = permuted_sums(distance.weights, prompts[:1], design.prompt_permutations())
    first_row = np.array([0])
    return table, record(table, first_row, design, estimate[:1], null, family="this layer and branch")


FINDINGS = (
    Finding(
        QUESTIONS["emergence"],
        "Yes, over all layers ({n_found} of {n_layers} by themselves): held-out evidence is {effect} "
        "higher after the onset than before it.",
        {"statistic": RISE, "branch": "uncond"},
        "emergence",
        key="emergence",
        unit="evidence",
        meaning="rise of held-out probe evidence (0: none, 1: perfect); 0 without an effect",
    ),
    Finding(
        "Do the states code {contrasts} differently in the last tenth than in the first?",
        "Yes, over all layers and branches: the difference of two labels changes by {effect}.",
        {"statistic": INTERACTION},
        "early_late",
        unit="distance",
        choices=("branch",),
        meaning="squared length of the change of two labels' difference, cross-validated over templates; 0 "
        "without an effect",
    ),
)

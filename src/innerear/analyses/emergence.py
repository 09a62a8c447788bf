"""When a label emerges, how suddenly, and whether its code is another one late than early.

In cond the text is read from step 0, so that emergence there means nothing: it is asked in uncond,
where the label can only be in the music so far, and in delta.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, stdtrit

from innerear.errors import InputError
from innerear.gram.reading import GramSource
from innerear.stacks.gram_file import Arrays, Coords
from innerear.statistics.design import Design
from innerear.statistics.label_distance import Distance, permuted_sums, prompt_means
from innerear.statistics.probes import evidence, evidence_null_by_prompt, held_out_operators
from innerear.statistics.significance import CONFIDENCE, correct_over, null_table, percentile_interval, record

BRANCHES = ("uncond", "delta")
SHAPES = ("constant", "step", "logistic", "linear")
ONSET, RISE, RISE_TIME, CLIPS = "onset", "held-out rise", "rise time, 10–90 %", "median onset of single clips"
INTERACTION = "label × window interaction"
MAP_COLUMNS = ("branch", "statistic")
#: a logistic rise narrower than this (its scale, in steps) is called a step
SUDDEN = 2.0
ALPHA = 0.05
# A change needs this many steps on either side.
_MARGIN = 2
_MIDPOINTS, _SCALES = 100, 16
_PIECE = 256

_NOT_TESTED = "none: an estimate; whether labels differ at all is tested in discriminability"


@dataclass(frozen=True)
class LayerEmergence:
    """What `layer_emergence` returns.

    Attributes
    ----------
    table : long, one row per branch and statistic; common columns.
    null : null maxima of rise and interaction, for `emergence_map`.
    arrays, coords : `evidence` [branch, step, sample] of the complete steps, as `GramFile.write` takes it.
    """

    table: pd.DataFrame
    null: pd.DataFrame
    arrays: Arrays
    coords: Coords


def layer_emergence(
    gram: GramSource,
    design: Design,
    *,
    model: str,
    layer: int,
    branches: Sequence[str] = BRANCHES,
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
) -> LayerEmergence:
    """Locate the onset of a label in one layer, judge its shape, and compare late with early.

    Parameters
    ----------
    gram : an open `GramFile` of `design`'s samples, in its order.
    design : labels, folds, permutations, bootstraps.
    model, layer : for the table's columns.
    branches : where emergence is asked; never cond.
    n_permutations, n_bootstraps : rows of the design's tables to use.

    Returns
    -------
    See `LayerEmergence`. From each sample's held-out probe evidence at every complete step:

    - held-out rise: the evidence after the onset less that before it, the onset being located on the
      other templates; tested by relabeling (without templates by the first 99, with probes fitted anew),
      with a t interval over templates, since few units make percentile intervals too narrow. Where that
      does not lie above 0, onset and rise time are NaN: what does not rise has none. `emergence_map` asks
      for significance over layers too.
    - onset: the first step after the one change of mean that fits best (binary segmentation), and
      the same for single clips, their median; rise time from 10 to 90 % of a logistic fit.
    - held-out error of each of `SHAPES`, fitted on the other templates' mean, ÷ that of the constant;
      `preferred` is the share of bootstraps of templates in which the shape has the least.

    Intervals resample templates, then seeds; probes are not fitted again. And in every branch, from
    the features' averages over the first and last 10 % of steps: the cross-validated distance of
    labels in the *difference* last − first, tested by relabeling: is it another code? Beside it both
    distances and their difference: is there more of it?

    Raises
    ------
    InputError: cond among `branches`, or another order of samples.
    """
    if "cond" in branches:
        raise InputError(
            "emergence in cond is not a finding: it reads the text from step 0; ask in uncond or delta"
        )
    design.check_order(gram.coords("sample"))
    names = [str(name) for name in gram.coords("branch")]
    steps = np.flatnonzero(gram.read("complete"))
    first = np.asarray(gram.coords("step"))[steps]  # where an entry averages several, their first
    seconds = gram.read("seconds")[steps] if "seconds" in gram else np.full(len(steps), np.nan)
    asked = [name for name in names if name in branches]
    spoken, frames, maxima = np.full((len(asked), len(steps), design.n_samples), np.nan), [], []
    for number, branch in enumerate(asked):
        try:
            kernel = _kernel(gram, names.index(branch), steps)
            operators = held_out_operators(kernel, design)
        except InputError as error:
            frames.append(_row(branch, ONSET, interval=f"none: {error}"))
            continue
        spoken[number] = evidence(operators, design)
        frame = _emergence(spoken[number], first, seconds, design, n_bootstraps)
        null_max = _test_rise(frame, kernel, operators, design, n_permutations)
        maxima += [({"branch": branch, "statistic": RISE}, one) for one in null_max]
        frames.append(frame.assign(branch=branch))
    late, late_maxima = _early_late(gram, names, design, n_permutations, n_bootstraps)
    maxima += late_maxima
    table = pd.concat([*frames, late], ignore_index=True)
    table = table.assign(model=model, layer=layer, n_prompts=design.n_prompts)
    return LayerEmergence(
        table.reindex(columns=_COLUMNS),
        null_table(maxima, design.permutation_hash(n_permutations), list(MAP_COLUMNS), n_permutations),
        {"evidence": (("branch", "step", "sample"), spoken.astype(np.float32))},
        {
            "branch": np.array(asked),
            "step": first.astype(np.int32),
            "sample": np.asarray(gram.coords("sample")),
        },
    )


_COLUMNS = pd.Index(
    [
        *(
            "model",
            "layer",
            "branch",
            "window",
            "statistic",
            "unit",
            "estimate",
            "ci_lo",
            "ci_hi",
            "interval",
        ),
        *("preferred", "p", "p_corrected", "score", "n_prompts", "n_perm", "min_p", "null", "family"),
    ]
)


def emergence_map(tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all layers and correct rise and interaction over layers.

    Parameters
    ----------
    tables, nulls : of each layer, from `LayerEmergence`.

    Returns
    -------
    All rows; onsets and rise times are NaN, with the reason, where the rise is not significant
    at .05 after correction.
    """
    table = correct_over(tables, nulls, MAP_COLUMNS, "layers of a branch")
    established = table.iloc[np.flatnonzero((table["statistic"] == RISE) & (table["p_corrected"] <= ALPHA))]
    places = set(zip(established["layer"], established["branch"], strict=True))
    gated = table["statistic"].isin([ONSET, CLIPS, RISE_TIME]) & table["estimate"].notna()
    lacking = [place not in places for place in zip(table["layer"], table["branch"], strict=True)]
    gated &= np.array(lacking)
    table.loc[gated, ["estimate", "ci_lo", "ci_hi"]] = np.nan
    table.loc[gated, "interval"] = "none: the rise is not significant"
    return table


def _row(branch: str, statistic: str, **columns: object) -> pd.DataFrame:
    blank: dict[str, object] = dict.fromkeys(
        ("estimate", "ci_lo", "ci_hi", "preferred", "p", "p_corrected", "score", "min_p"), np.nan
    )
    blank |= {"window": "", "unit": "", "interval": "", "n_perm": 0, "null": _NOT_TESTED, "family": ""}
    return pd.DataFrame([blank | {"branch": branch, "statistic": statistic} | columns])


def _kernel(gram: GramSource, branch: int, steps: np.ndarray) -> np.ndarray:
    """Gram matrices [S, N, N] of a branch's steps; 0 where all samples are equal."""
    kernel = gram.read("gram", branch=branch)[steps].astype(float)
    kernel[gram.read("deterministic", branch=branch)[steps]] = 0
    return kernel


# ---- shapes --------------------------------------------------------------------------------------------


def step_shapes(n_steps: int) -> np.ndarray:
    """All single steps, [n, S]: 0 before, 1 from step `k` on, for k = 2 … S − 2."""
    change = np.arange(_MARGIN, n_steps - _MARGIN + 1)
    return (np.arange(n_steps) >= change[:, None]).astype(float)


def logistic_shapes(n_steps: int, narrowest: float = SUDDEN) -> tuple[np.ndarray, np.ndarray]:
    """Logistic rises of many midpoints and scales, [n, S], and the scale of each in steps, [n]."""
    midpoints = np.linspace(0, n_steps - 1, min(n_steps, _MIDPOINTS))
    widest = max(n_steps / 8, 2 * narrowest)
    scales = np.geomspace(narrowest, widest, _SCALES)
    middle, scale = (grid.ravel()[:, None] for grid in np.meshgrid(midpoints, scales))
    return expit((np.arange(n_steps) - middle) / scale), scale[:, 0]


def fit_shape(curves: np.ndarray, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit level + height × shape to each curve by least squares, with the shape that fits best.

    Parameters
    ----------
    curves : [m, S]; shapes : [n, S].

    Returns
    -------
    chosen : [m] number of the shape; height : [m].
    """
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    energy = np.maximum((centred**2).sum(axis=1), np.finfo(float).tiny)
    chosen, height = np.empty(len(curves), int), np.empty(len(curves))
    for start in range(0, len(curves), _PIECE):
        rows = slice(start, start + _PIECE)
        products = curves[rows] @ centred.T  # [m, n]
        chosen[rows] = (products**2 / energy).argmax(axis=1)
        height[rows] = np.take_along_axis(products / energy, chosen[rows, None], axis=1)[:, 0]
    return chosen, height


def onsets(curves: np.ndarray) -> np.ndarray:
    """Return the first step after the best single change of mean of each curve [m, S], as [m].

    What `ruptures.Binseg` with squared error and one change finds; all curves at once.
    """
    return fit_shape(curves, step_shapes(curves.shape[1]))[0] + _MARGIN


def _emergence(
    spoken: np.ndarray, steps: np.ndarray, seconds: np.ndarray, design: Design, n_bootstraps: int
) -> pd.DataFrame:
    """Rows of one branch from its evidence [S, N]."""
    n_steps = len(steps)
    if n_steps < 4 * _MARGIN:
        return _row("", ONSET, interval=f"none: {n_steps} complete steps are too few")
    counts = design.bootstraps(n_bootstraps).samples()  # [m, N]
    weights = counts / counts.sum(axis=1, keepdims=True)
    resampled, curve = weights @ spoken.T, spoken.mean(axis=1)[None]
    folds = [spoken[:, fold.test].mean(axis=1) for fold in design.folds()]
    rises = _held_out_rises(np.stack(folds)[:, None])[:, 0]
    margin = stdtrit(len(rises) - 1, 0.5 + CONFIDENCE / 2) * rises.std(ddof=1) / np.sqrt(len(rises))
    low, high = rises.mean() - margin, rises.mean() + margin
    text = f"{CONFIDENCE:.0%} t interval of {len(rises)} held-out folds"
    row = {"estimate": rises.mean(), "ci_lo": low, "ci_hi": high, "interval": text, "unit": "evidence"}
    rows = [_row("", RISE, **row)]
    why = "" if low > 0 else "none: held-out evidence does not rise"
    shapes, scales = logistic_shapes(n_steps, narrowest=0.25)
    scale = scales[fit_shape(np.vstack([curve, resampled]), shapes)[0]]
    clips = onsets(spoken.T)
    order = np.argsort(clips)
    half = np.cumsum(weights[:, order], axis=1) >= 0.5
    found = {
        ONSET: (onsets(curve)[0], onsets(resampled)),
        CLIPS: (np.median(clips), clips[order][half.argmax(axis=1)]),
    }
    for name, (value, values) in found.items():
        for unit, axis in (("step", steps.astype(float)), ("s", seconds)):
            place = np.interp(np.r_[value, values], np.arange(n_steps), axis)
            rows.append(_estimate(name, unit, place[:1], place[1:, None], design, why))
    times = 2 * np.log(9) * scale * (steps[1] - steps[0])
    rows.append(_estimate(RISE_TIME, "step", times[:1], times[1:, None], design, why))
    return pd.concat([*rows, _shape_errors(spoken, design, counts)], ignore_index=True)


def _estimate(
    name: str, unit: str, estimate: np.ndarray, boots: np.ndarray, design: Design, why_not: str = ""
) -> pd.DataFrame:
    low, high, interval = percentile_interval(estimate, boots, design.resampled)
    if why_not:
        estimate, low, high, interval = (np.array([np.nan]),) * 3 + (why_not,)
    return _row("", name, unit=unit, estimate=estimate[0], ci_lo=low[0], ci_hi=high[0], interval=interval)


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
    frame: pd.DataFrame, kernel: np.ndarray, operators: np.ndarray, design: Design, m: int
) -> list[np.ndarray]:
    """Fill in the p of the held-out rise by relabeling; return its null maxima, if any.

    Folds are judged by probes that were fitted on each other, so that chance rises come together in
    all of them: an interval over folds alone would find too many.
    """
    row = np.flatnonzero(frame["statistic"] == RISE)
    if not len(row):
        return []
    if design.blocked:
        by_prompt = evidence_null_by_prompt(operators, design, m)  # [m, P, S]
    else:
        by_prompt = _refitted_evidence(kernel, design, m)
    prompts = [np.unique(design.prompt_of[fold.test]) for fold in design.folds()]
    curves = np.stack([by_prompt[:, some].mean(axis=1) for some in prompts])  # [F, m, S]
    null = _held_out_rises(curves).mean(axis=0)[:, None]
    used = len(null)
    result = design.test(frame["estimate"].to_numpy(float)[row], null)
    record(
        frame,
        row,
        result,
        min_p=design.smallest_p(used),
        null=design.null_text(m, f"{design.label}s", used),
        family="this layer and branch",
        why_not=[design.why_not(m)],
    )
    return [result.null_max] if np.isfinite(result.p).any() else []


def _refitted_evidence(kernel: np.ndarray, design: Design, m: int) -> np.ndarray:
    """Mean evidence [m, P, S] in the prompts' places under exchanges of them, with probes fitted anew."""
    orders = design.exchanges(m)
    by_prompt = np.empty((len(orders), design.n_prompts, len(kernel)))
    for k, order in enumerate(orders):
        operators = held_out_operators(kernel[:, order[:, None], order], design)
        by_prompt[k] = evidence(operators, design)[:, design.rows].mean(axis=-1).T
    return by_prompt


def _shape_errors(spoken: np.ndarray, design: Design, counts: np.ndarray) -> pd.DataFrame:
    """Rows of the held-out error of each shape, relative to the constant's."""
    n_steps = len(spoken)
    candidates = {
        "step": step_shapes(n_steps),
        "logistic": logistic_shapes(n_steps)[0],
        "linear": np.linspace(0, 1, n_steps)[None],
    }
    folds = design.folds()
    errors, share = np.empty((len(SHAPES), len(folds))), np.empty((len(counts), len(folds)))
    for number, fold in enumerate(folds):
        train, test = spoken[:, fold.train].mean(axis=1), spoken[:, fold.test].mean(axis=1)
        errors[0, number] = ((test - train.mean()) ** 2).mean()
        for row, shapes in enumerate(candidates.values(), start=1):
            chosen, height = fit_shape(train[None], shapes)
            shape = shapes[chosen[0]]
            fitted = train.mean() + height[0] * (shape - shape.mean())
            errors[row, number] = ((test - fitted) ** 2).mean()
        share[:, number] = counts[:, fold.test].sum(axis=1)
    resampled = share @ errors.T  # [m, shapes]
    best = resampled.argmin(axis=1)
    ratio = errors.mean(axis=1) / errors[0].mean()
    ratios = resampled / resampled[:, :1]
    low, high, interval = percentile_interval(ratio, ratios, design.resampled)
    return pd.concat(
        _row(
            "",
            f"held-out error, {name}",
            unit="÷ constant",
            estimate=ratio[i],
            ci_lo=low[i],
            ci_hi=high[i],
            interval=interval,
            preferred=(best == i).mean(),
        )
        for i, name in enumerate(SHAPES)
    )


# ---- early and late --------------------------------------------------------------------------------------


def _early_late(
    gram: GramSource, branches: Sequence[str], design: Design, m: int, n_bootstraps: int
) -> tuple[pd.DataFrame, list[tuple[dict[str, str], np.ndarray]]]:
    """Rows of the first and last 10 % of steps in every branch, and null maxima of the interaction."""
    windows = [str(name) for name in gram.coords("window")]
    frames, nulls = [], []
    for number, branch in enumerate(branches):
        reason = ""
        try:
            distance = Distance(design)
            reason = "" if distance.possible else f"no two folds hold the same two {design.label}s"
        except InputError as error:
            distance, reason = None, str(error)
        if "first_10" not in windows:
            reason = "too few complete steps for windows of 10 %"
        if reason or distance is None:
            row = _row(branch, INTERACTION, null=f"none: {reason}", interval=f"none: {reason}")
            frames.append(row.assign(window="last_10 − first_10"))
            continue
        means = gram.read("window_mean", branch=number).astype(float)
        first, last = (means[windows.index(name)] for name in ("first_10", "last_10"))
        frame, null_max = _compared(first, last, distance, design, m, n_bootstraps)
        frames.append(frame.assign(branch=branch))
        if null_max is not None:
            nulls.append(({"branch": branch, "statistic": INTERACTION}, null_max))
    return pd.concat(frames, ignore_index=True), nulls


def _compared(
    first: np.ndarray, last: np.ndarray, distance: Distance, design: Design, m: int, n_bootstraps: int
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Rows of one branch from its features [N, D] of both windows, and the null maxima."""
    centred = [x - x.mean(axis=0) for x in (last - first, first, last)]
    kernel = np.stack([x @ x.T for x in centred])  # [3, N, N]
    kernel /= np.trace(kernel[1:], axis1=1, axis2=2).mean() / design.n_samples or 1.0
    prompts = prompt_means(kernel, design)
    estimate = np.einsum("pq,cpq->c", distance.weights, prompts)
    boots = distance.bootstrap(kernel, n_bootstraps)
    estimate, boots = np.r_[estimate, estimate[2] - estimate[1]], np.c_[boots, boots[:, 2] - boots[:, 1]]
    low, high, interval = percentile_interval(estimate, boots, design.resampled)
    names = (INTERACTION, "distance", "distance", "difference of distances")
    where = ("last_10 − first_10", "first_10", "last_10", "last_10 − first_10")
    table = pd.concat(
        [
            _row("", name, window=window, unit="÷ variance", estimate=e, ci_lo=l, ci_hi=h, interval=interval)
            for name, window, e, l, h in zip(names, where, estimate, low, high, strict=True)
        ],
        ignore_index=True,
    )
    null = permuted_sums(distance.weights, prompts[:1], design.prompt_permutations(m))
    result = design.test(estimate[:1], null)
    record(
        table,
        np.array([0]),
        result,
        min_p=design.smallest_p(m),
        null=design.null_text(m, f"{design.label}s"),
        family="this layer and branch",
        why_not=[design.why_not(m)],
    )
    return table, result.null_max if np.isfinite(result.p).any() else None

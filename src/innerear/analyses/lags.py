"""Correlate the states of a moment with the sound of frames before and after it.

Both are smooth series, so correlating them within a clip would find something almost always. Clips of one
prompt, or of one emotion, may also share a course over time in both, with nothing to tie the moments
together. Only the other seeds of the same prompt share all of that. So the mean over a prompt's seeds is
taken out at each frame, of states and sound alike, and the null pairs the states of one seed with the sound
of another. No function here works without it, and with one seed a prompt there is no test. Each clip's own
mean is the subject of `innerear.analyses.sound` and is removed too.

Frame f is whole after step f + max d, which predicts its last codebook; max d is the delay of that codebook,
K − 1 in most models. Lag 0 pairs the states at that step with that frame. These states have read codebooks of
the frames up to f + max d − 1 already, and a feature is measured in a window about its frame. Sound is
*planned* only if it lies past both, and *history* only if it was over before the frame began (`moment`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from os import PathLike

import numpy as np
import pandas as pd

from innerear.acoustics.followed import Sound
from innerear.analyses.seed_differences import (
    BranchStates,
    between_seeds,
    contrasts_of_seeds,
    pair_products,
    seed_contrasts,
    template_means,
    template_products,
)
from innerear.errors import InputError
from innerear.stacks import LayerReader, Stack
from innerear.statistics.cells import write_estimates
from innerear.statistics.design import Design, Fold
from innerear.statistics.finding import Finding
from innerear.statistics.pieces import pieces
from innerear.statistics.table import INTERVAL, LayerResult, Maxima, blank, columns, record, record_flip_null
from innerear.study.estimate import FEWEST_FRAMES
from innerear.timeline import Timeline

MAX_LAG = 25
STATISTIC = "held-out r between seeds of a prompt"
MAP_COLUMNS = ("statistic",)
FAMILY = "layers × branches × features × lags"
ONE_SEED = "there is one seed: only another seed of the same prompt has its course over time"
PLANNING, MOMENT, HISTORY = "planning", "the same moment", "history"
# Seconds that a feature's analysis window reaches to either side of its frame's centre, where it is not .032:
# the lowest filters of the constant-Q transform are half a second long.
_REACH, _REACH_OF = 0.032, {"chroma": 0.25}
# Values of the sound, at all lags of a piece, that are held at once.
_SERIES_AT_ONCE = 2**25
# Arrangements are scored in pieces of about this many values, to stay in cache.
_AT_ONCE = 2**17

#: reads sample i's states of all branches, [C, S, D]
Reader = Callable[[int], np.ndarray]


def of_states(
    read: Reader,
    sound: Sound,
    timeline: Timeline,
    design: Design,
    branches: Sequence[str] = ("cond", "uncond"),
) -> LayerResult:
    """Correlate the sound with its prediction from one layer's states, up to 25 frames before and after.

    Parameters
    ----------
    read : sample i's states, in the design's order, as that of `sound`.
    branches : names of the C stored branches; with cond and uncond, delta = cond − uncond is added.

    Returns
    -------
    A row per branch, feature and lag. `estimate` is the correlation on held-out templates, over all their
    frames, of what tells the seeds of a prompt apart. The prediction is linear in the ten largest principal
    components of the states; everything is fitted on the other templates. All lags use the same steps, those
    with a frame at every lag. Missing frames count as the mean. `moment` says what a lag may be called.

    Intervals resample templates of the held-out products; fits are not repeated. The null exchanges the sound
    of the seeds of a prompt, in every prompt by itself, and fits anew; with two seeds this flips the sign of
    own less crossed pairs. `p_flip` flips the sign of a whole template instead, and fits anew, of what is
    left without the mean over the prompts of each template and seed: unlike `p` it holds where a seed does
    the same to all prompts. `p_corrected` is max-T over branches × features × lags of the layer.

    Raises
    ------
    InputError: clips too short for any lag, or states that do not fit the timeline.
    """
    window = _window(timeline)
    lags = np.arange(-window.reach, window.reach + 1)
    why = design.why_no_folds or (ONE_SEED if design.rows.shape[1] < 2 else "")
    if not sound.names:
        why = "; ".join(f"{name}: {reason}" for name, reason in sound.reasons.items())
    names = [*branches, *(["delta"] if {"cond", "uncond"} <= set(branches) else [])]
    found: list[_Scores | None] = []
    if not why:
        fits = _fits(_read(read, design.n_samples, timeline, window, branches), branches, names, design)
        found = _of_branches(fits, sound, window, design)
    table = _untested(names, lags, sound, design, why)
    maxima = _fill(table, found, len(lags), sound, design)
    moments = [
        moment(feature, lag, timeline) for feature, lag in zip(table["feature"], table["lag"], strict=True)
    ]
    table = table.assign(seconds=table["lag"] / timeline.frame_rate, moment=moments)
    return LayerResult(table, maxima=maxima)


def moment(feature: str, lag: int, timeline: Timeline) -> str:
    """Say what the sound of a feature at a lag is to the states: `PLANNING`, `HISTORY`, or `MOMENT`.

    With w frames from the middle of a feature's window to its end, sound that begins after all frames of
    which a code was read lies at a lag of max d + ½ + w or more, and sound that was over before frame f at
    −(½ + w) or less.

    Examples
    --------
    >>> clip = Timeline(100, 4, 50.0)
    >>> [moment("rms", lag, clip) for lag in (-3, -2, 0, 3, 5, 6)]
    ['history', 'the same moment', 'the same moment', 'the same moment', 'the same moment', 'planning']
    """
    reach = 0.5 + _REACH_OF.get(feature, _REACH) * timeline.frame_rate
    if lag >= timeline.max_delay + reach:
        return PLANNING
    return HISTORY if -lag >= reach else MOMENT


COLUMNS = columns("branch", "window", "feature", "lag", "seconds", "moment", "statistic", *INTERVAL)


def of_stacks(
    paths: Sequence[str | PathLike],
    sound: Sound,
    design: Design,
    *,
    layer: int,
    site: str,
    contents: Sequence[str] | None = None,
) -> LayerResult:
    """Return `of_states` of a layer and site of stack files [N], in the design's order.

    `contents` are the content hashes that the stacks must have, as an index lists them.
    """
    listed = [None] * len(paths) if contents is None else list(contents)

    def read(i: int) -> np.ndarray:
        with LayerReader(paths[i], layer, site, listed[i]) as reader:
            return reader.read(slice(None))

    with Stack(paths[0], content=listed[0]) as first:
        timeline, branches = first.timeline, first.branches
    return of_states(read, sound, timeline, design, branches)


@dataclass(frozen=True)
class _Window:
    """Frames `start` to `stop` (past the last), whose states are used, and the largest lag."""

    start: int
    stop: int
    reach: int


def _window(timeline: Timeline) -> _Window:
    """Choose the frames that are whole after a complete step and have a frame at every lag."""
    whole = timeline.n_frames - timeline.max_delay  # frames 0 … T − 1 − max d
    reach = min(MAX_LAG, (whole - 1) // 4)
    if whole < FEWEST_FRAMES:
        raise InputError(
            f"clips of {timeline.n_frames} frames are too short for lags: set generation.duration to at "
            f"least {(timeline.max_delay + FEWEST_FRAMES) / timeline.frame_rate:g} s"
        )
    return _Window(reach, min(whole, timeline.n_frames - reach), reach)


def _read(
    read: Reader, n_samples: int, timeline: Timeline, window: _Window, branches: Sequence[str]
) -> np.ndarray:
    """Read the states of the steps after which the window's frames are whole, [N, C, frames, D]."""
    written = np.where(timeline.reread[:, -1], -1, timeline.frames[:, -1])  # [S] by their last codebook
    steps = [int(np.flatnonzero(written == frame)[0]) for frame in range(window.start, window.stop)]
    kept = np.empty((0,))
    for i in range(n_samples):
        states = read(i)
        if states.shape[:2] != (len(branches), timeline.n_steps):
            raise InputError(
                f"sample {i} has {states.shape[:2]} branches × steps, expected "
                f"{(len(branches), timeline.n_steps)}: were sound and states made together?"
            )
        if not i:
            kept = np.empty((n_samples, len(branches), len(steps), states.shape[-1]), states.dtype)
        states.take(steps, axis=1, out=kept[i], mode="clip")
    return kept


def _lagged(values: np.ndarray, window: _Window, lags: np.ndarray) -> np.ndarray:
    """Lay the sound [N, T, F] out by lag, [N, frames, lags, F], each clip about its mean at that lag."""
    frames = np.arange(window.start, window.stop)[:, None] + lags
    series = values.take(frames, axis=1)
    series -= series.mean(axis=1, keepdims=True)
    return series


@dataclass(frozen=True)
class _Scores:
    """r [lags, features] observed, null [m, …] and flipped [m', …]; sample-wise products, [3, N, …]."""

    observed: np.ndarray
    null: np.ndarray
    flipped: np.ndarray
    products: np.ndarray


def _arrangements(design: Design) -> np.ndarray:
    """The weight of each pair of `seed_contrasts`, float32 [1 + m, P (R − 1)²]; m exchanges of seeds.

    By prompt, contrast of the states, and contrast of the sound. Row 0 is as observed.
    """
    contrasts = seed_contrasts(design.rows.shape[1])  # [R − 1, R]
    orders = np.concatenate([np.arange(design.n_samples)[None], design.seed_permutations()])
    chosen = design.seed_of[orders[:, design.rows]]  # [1 + m, P, R] whose sound each seed's states get
    found = np.einsum("ar,bmpr->mpab", contrasts, contrasts[:, chosen], optimize=True)
    return found.reshape(len(chosen), -1)


class _Fit:
    """The states' scores [N, frames, k] on the components of one fold, ready for the sound at any lag.

    Attributes
    ----------
    scores : [N, frames, k]; contrasts : [P, R - 1, k, frames], between the seeds of each prompt.
    means : [T, R * frames, k] over the prompts of each template and seed.
    spread : [k, k] products of the tested ones; spread_alone : the same without `means`.
    """

    def __init__(self, fold: Fold, scores: np.ndarray, design: Design) -> None:
        self.fold, self.scores, self.means = fold, scores, template_means(scores, design)
        self.contrasts = contrasts_of_seeds(scores, design).swapaxes(2, 3)
        prompts = np.unique(design.prompt_of[fold.test])
        tested, count = np.unique(design.block_of[prompts], return_counts=True)
        flat, means = scores[fold.test].reshape(-1, scores.shape[-1]), self.means[tested]
        self.spread = flat.T @ flat
        self.spread_alone = self.spread - np.einsum("t,tfk,tfl->kl", count, means, means, optimize=True)


def _fits(
    states: np.ndarray, branches: Sequence[str], names: Sequence[str], design: Design
) -> list[list[_Fit]]:
    """Return the fits of all folds for each of the named branches; none where a prompt's seeds are equal."""
    folds = design.folds()
    scores = [BranchStates(states, branches, name).components(folds, design) for name in names]
    return [[_Fit(fold, one, design) for fold, one in zip(folds, own, strict=False)] for own in scores]


@dataclass(frozen=True)
class _Series:
    """The sound at some lags, `values` [N, frames, lags, F], and what is made of it for all fits.

    `contrasts` are [P, R - 1, frames, lags * F] and `means` [T, R * frames, lags * F], as those of `_Fit`.
    `norms` [N, lags, F] are sums of squares over frames; `level` and `level_alone` [lags, F] those of all
    samples, and of what is left without `means`.
    """

    values: np.ndarray
    contrasts: np.ndarray
    means: np.ndarray
    norms: np.ndarray
    level: np.ndarray
    level_alone: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, design: Design) -> "_Series":
        """Prepare the sound [N, frames, lags, F]."""
        means, norms = template_means(values, design), np.einsum("nf...,nf...->n...", values, values)
        level = norms.sum(axis=0, dtype=float)
        shared = np.bincount(design.block_of) @ np.einsum("tfc,tfc->tc", means, means)
        left = level - shared.reshape(level.shape)
        return cls(values, contrasts_of_seeds(values, design), means, norms, level, left)


def _of_branches(
    fits: Sequence[Sequence[_Fit]], sound: Sound, window: _Window, design: Design
) -> list[_Scores | None]:
    """Predict the sound at every lag from the fits of each branch; None where there are none."""
    lags, parts = np.arange(-window.reach, window.reach + 1), []
    between, arranged = between_seeds(sound.values, design), _arrangements(design)
    for some in pieces(len(lags), sound.values.size, _SERIES_AT_ONCE):
        series = _Series.of(_lagged(between, window, lags[some]), design)
        parts.append(
            [_scores(own, series, arranged, sound.feature_of, design) if own else None for own in fits]
        )
    names = ("observed", "null", "flipped", "products")
    return [
        _Scores(*(np.concatenate([getattr(part, name) for part in own], axis=-2) for name in names))
        if own[0]
        else None
        for own in zip(*parts, strict=True)
    ]


def _scores(
    fits: Sequence[_Fit], series: _Series, arranged: np.ndarray, feature_of: np.ndarray, design: Design
) -> _Scores:
    """Predict the sound from the scores of each fold, observed and in `_arrangements`.

    Flips are of states and sound without the mean over prompts.
    """
    n_lags, n_features = series.values.shape[2], int(feature_of.max()) + 1
    prompts = np.repeat(np.arange(design.n_prompts), (design.rows.shape[1] - 1) ** 2)
    flips = np.empty((0, design.n_blocks)) if design.why_no_flips() else design.flips()
    flips = flips.astype(np.float32)
    sums, flipped = (np.zeros((2, len(one), n_lags, n_features)) for one in (arranged, flips))
    products = np.zeros((3, design.n_samples, n_lags, n_features))

    def by_feature(values: np.ndarray) -> np.ndarray:
        return _by_feature(values.reshape(*values.shape[:-1], n_lags, -1), feature_of)

    for fit in fits:
        test = fit.fold.test
        # Components are white over the training samples, so that products are regression weights.
        of_pairs = pair_products(fit.contrasts, series.contrasts)
        tested = np.isin(prompts, design.prompt_of[test])
        sums += by_feature(_hits(arranged, of_pairs, tested, fit.spread))
        observed = np.tensordot(arranged[0][~tested], of_pairs[~tested], axes=1)
        own = fit.scores[test], series.values[test], series.norms[test]
        products[:, test] = _products(*own, observed, feature_of)
        if len(flips):
            of_templates = template_products(of_pairs, fit.means, series.means, design)
            tested = np.isin(np.arange(design.n_blocks), design.block_of[design.prompt_of[test]])
            flipped += by_feature(_hits(flips, of_templates, tested, fit.spread_alone))
    # Seeds trade places within their prompt, which lies in one fold: the sound's own squares stay.
    r, r_flipped = (
        _r(both[0], both[1], _by_feature(one, feature_of))
        for both, one in ((sums, series.level), (flipped, series.level_alone))
    )
    return _Scores(r[0], r[1:], r_flipped, products)


def _hits(counts: np.ndarray, products: np.ndarray, tested: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Fit on units that are not tested, and multiply with those that are: hit and power, [2, m, columns].

    Of products [units, k, columns], counted [m, units] times, and the products [k, k] of tested states.
    """
    flat, found = products.reshape(len(products), -1), np.empty((2, len(counts), products.shape[-1]))
    parts = [(counts[:, some], flat[some]) for some in (~tested, tested)]
    for rows in pieces(len(counts), products[0].size, _AT_ONCE):
        weights, test = ((one[rows] @ summed).reshape(-1, *products.shape[1:]) for one, summed in parts)
        found[0, rows] = np.einsum("mkc,mkc->mc", weights, test)
        found[1, rows] = np.einsum("mkc,mkc->mc", weights, spread @ weights)
    return found


def _r(hit: np.ndarray, power: np.ndarray, level: np.ndarray) -> np.ndarray:
    scale = np.sqrt(power * level)
    return np.divide(hit, scale, out=np.zeros_like(hit), where=scale > 0)


def _by_feature(values: np.ndarray, feature_of: np.ndarray) -> np.ndarray:
    """Sum the columns [..., F] of each feature."""
    starts = np.flatnonzero(np.r_[True, np.diff(feature_of) > 0])
    return np.add.reduceat(values, starts, axis=-1)


def _products(
    z: np.ndarray, series: np.ndarray, norms: np.ndarray, weights: np.ndarray, feature_of: np.ndarray
) -> np.ndarray:
    """Observed products of each test sample, prediction × sound, prediction² and sound², [3, test, …]."""
    weights = weights.reshape(-1, *series.shape[2:])  # [k, lags, F]
    predicted = np.einsum("nfk,klc->nflc", z, weights, optimize=True)
    three = (np.einsum("nf...,nf...->n...", predicted, one) for one in (series, predicted))
    return np.stack([_by_feature(values, feature_of) for values in (*three, norms)])


def _untested(
    branches: Sequence[str], lags: np.ndarray, sound: Sound, design: Design, why: str
) -> pd.DataFrame:
    """The rows of one layer, without results."""
    equal = "all seeds of a prompt are equal (deterministic)"
    reasons = dict.fromkeys(sound.names, why or equal) | sound.reasons
    rows = pd.DataFrame(
        product(branches, reasons, lags.tolist()), columns=pd.Index(["branch", "feature", "lag"])
    )
    null = [f"none: {reasons[name]}" for name in rows["feature"].tolist()]
    return blank(rows, design, window="whole", statistic=STATISTIC, null=null)


def _fill(
    table: pd.DataFrame, found: Sequence[_Scores | None], n_lags: int, sound: Sound, design: Design
) -> list[Maxima]:
    """Write results into the rows of one layer, in place; return its null maxima."""
    places, nulls = [], []
    # Seeds are compared with each other: only templates are resampled.
    boots = design.bootstraps()
    counts = boots.units[:, boots.unit_of]  # [bootstraps, N]
    per_branch = (len(sound.names) + len(sound.reasons)) * n_lags
    for number, scores in enumerate(found):
        if scores is None:
            continue
        rows = number * per_branch + np.arange(len(sound.names) * n_lags)
        observed = scores.observed.T.ravel()  # features × lags
        products = scores.products.swapaxes(2, 3).reshape(3, design.n_samples, -1)
        write_estimates(table, rows, design, observed, _r(*(counts @ products)))
        places.append(rows)
        nulls.append([one.swapaxes(1, 2).reshape(-1, len(rows)) for one in (scores.null, scores.flipped)])
    if not places:
        return []
    rows = np.concatenate(places)
    observed = table["estimate"].to_numpy(float)[rows]
    null, flipped = (np.concatenate(one, axis=1) for one in zip(*nulls, strict=True))
    moved = "states of one seed with the sound of another seed of the same prompt"
    family = "branches × features × lags of this layer"
    maxima = record(table, rows, design, observed, null, family=family, moved=moved, of="seeds")
    # Correlations are on one scale. A strong one's own flips have a heavy tail, in which z means little.
    return maxima + record_flip_null(table, rows, design, flipped, standardise=False)


FINDINGS = (
    Finding(
        "Do the states go with the sound from moment to moment, beyond what clips of a prompt share?",
        "Yes, at {n_found} of {n_layers} layers: among the surest is {feature} at a lag of {lag} frames "
        "({moment}) in layer {layer} of {branch}, {effect}.",
        {"statistic": STATISTIC},
        "lags",
        unit="r",
        meaning="held-out correlation, over frames, of what tells the seeds of a prompt apart in sound and "
        "states",
        aside="Sound is planned only where it begins after all that was read, and history only where it "
        "was over.",
        formula="r(ŷ, y) over the frames of held-out templates, y: sound less the mean of a prompt's seeds; "
        "ŷ: its prediction from ten components of the states, less the same mean, fitted on other templates",
    ),
)

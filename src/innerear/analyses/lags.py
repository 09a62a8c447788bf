"""Activations ↔ acoustics over time: which frames of the sound go with the states of a moment, and when.

Both are smooth series, and correlating them sample by sample would find something almost always.
So there is one null and no function without it: the states of one sample are paired with the sound of
another, through everything that follows. What is common to all clips at a step is removed before, and
so is each clip's mean, which is the subject of `innerear.analyses.sound`.

Frame f is whole after step f + K − 1, which predicts its last codebook: lag 0 pairs the states at that
step with that frame. At lag > 0 the sound comes later than the states (planning), at lag < 0 earlier
(history).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from os import PathLike

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.stacks import LayerReader, Stack
from innerear.statistics.design import Design, Fold
from innerear.statistics.significance import correct_over, null_table, percentile_interval, record
from innerear.timeline import Timeline

MAX_LAG = 25
COMPONENTS = 10
STATISTIC = "held-out r"
MAP_COLUMNS = ("statistic",)
CHROMA = tuple(f"chroma_{name}" for name in ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"))
#: what is followed: name -> its columns among the frame features
FOLLOWED: Mapping[str, Sequence[str]] = {
    "rms": ("rms",),
    "onset_strength": ("onset_strength",),
    "centroid": ("centroid",),
    "flatness": ("flatness",),
    "flux": ("flux",),
    "chroma": CHROMA,
}
# A feature that more of a study's frames lack is not used.
MAX_MISSING = 0.1
# Permutations are scored in pieces of about this many values, to stay in cache.
_AT_ONCE = 2**17

#: reads sample i's states of all branches, [C, S, D]
Reader = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class LayerLags:
    """What `layer_lags` returns.

    Attributes
    ----------
    table : one row per branch, feature and lag; common columns.
    null : null maxima, for `lags_map`.
    """

    table: pd.DataFrame
    null: pd.DataFrame


@dataclass(frozen=True)
class Sound:
    """Frame features of all samples, ready to be followed.

    Attributes
    ----------
    names : of the features.
    feature_of : int [F] the feature of each column.
    values : float32 [N, T, F] of unit variance, without the mean over samples at each frame; 0 where
        not measured.
    reasons : feature -> why it cannot be used.
    """

    names: list[str]
    feature_of: np.ndarray
    values: np.ndarray
    reasons: dict[str, str]


def followed(frames: Mapping[str, np.ndarray], groups: Mapping[str, Sequence[str]] = FOLLOWED) -> Sound:
    """Prepare frame features.

    Parameters
    ----------
    frames : column -> [N, T], NaN where not measured.
    groups : feature -> its columns; those of one feature are scored together.

    Raises
    ------
    InputError: a column that `frames` lacks.
    """
    absent = [name for columns in groups.values() for name in columns if name not in frames]
    if absent:
        raise InputError(f"the frame features lack {absent[0]!r}: remake acoustics/frames")
    names, feature_of, values, reasons = [], [], [], {}
    for name, columns in groups.items():
        series = np.stack([np.asarray(frames[column], float) for column in columns], axis=-1)  # [N, T, F]
        measured = np.isfinite(series)
        if 1 - measured.mean() > MAX_MISSING:
            reasons[name] = f"{1 - measured.mean():.0%} of frames have no value"
            continue
        n = measured.sum(axis=0)
        course = np.divide(np.nansum(series, axis=0), n, out=np.zeros(series.shape[1:]), where=n > 0)
        left = np.where(measured, series - course, 0)
        scale = np.sqrt((left**2).mean())
        if not scale:
            reasons[name] = "it does not vary between samples"
            continue
        feature_of += [len(names)] * len(columns)
        names.append(name)
        values.append((left / scale).astype(np.float32))
    whole = np.concatenate(values, axis=-1) if values else np.empty((0, 0, 0), np.float32)
    return Sound(names, np.array(feature_of, int), whole, reasons)


def layer_lags(
    read: Reader,
    sound: Sound,
    timeline: Timeline,
    design: Design,
    *,
    model: str,
    layer: int,
    branches: Sequence[str] = ("cond", "uncond"),
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
) -> LayerLags:
    """Follow the sound in one layer's states, at lags of up to 25 frames before and after.

    Parameters
    ----------
    read : sample i's states, in the design's order.
    sound : from `followed`, in the same order.
    timeline : of the clips.
    design : folds, permutations, bootstraps.
    model, layer : for the table's columns.
    branches : names of the C stored branches; with cond and uncond, delta = cond − uncond is added.
    n_permutations, n_bootstraps : rows of the design's tables to use.

    Returns
    -------
    See `LayerLags`. `estimate` is the correlation of the sound with its prediction from the states on
    held-out templates, over all their frames. The prediction is linear in the ten largest principal
    components of the states, which are fitted, like all else, on the other templates. The same
    steps, those with a frame at every lag, serve all lags. Intervals resample templates, then seeds,
    of the held-out products (fits are not repeated). The null gives whole prompts, within templates,
    the sound of one another, each seed that of the same seed, and fits anew; `p_corrected` is max-T
    over branches × features × lags, until `lags_map` replaces it by max-T over layers too. Missing
    frames count as their mean.

    Raises
    ------
    InputError: clips too short for any lag, or states that do not fit the timeline.
    """
    window = _window(timeline)
    found: list[_Scores | None] = []
    lags = np.arange(-window.reach, window.reach + 1)
    why = _why_not(sound, design)
    states = None if why else _read(read, design.n_samples, timeline, window, branches)
    names = [*branches, *(["delta"] if {"cond", "uncond"} <= set(branches) else [])]
    if states is not None:
        series = _lagged(sound.values, window)  # [N, frames, lags, F]
        for branch in range(len(names)):
            x = _branch(states, branch, branches)
            scores = _scores(x, series, sound.feature_of, design, n_permutations) if x.any() else None
            found.append(scores)
    table = _rows(names, lags, sound, design, why)
    null = _fill(table, found, len(lags), sound, design, n_permutations, n_bootstraps)
    table = table.assign(model=model, layer=layer, seconds=table["lag"] / timeline.frame_rate)
    return LayerLags(table.reindex(columns=_COLUMNS), null)


def stacks_lags(
    paths: Sequence[str | PathLike], sound: Sound, design: Design, *, layer: int, **options
) -> LayerLags:
    """Return `layer_lags` of stack files.

    Parameters
    ----------
    paths : [N] in the design's order.
    layer : which dataset of each stack.
    options : the further ones of `layer_lags`.
    """

    def read(i: int) -> np.ndarray:
        with LayerReader(paths[i], layer) as reader:
            return reader.read(slice(None))

    with Stack(paths[0]) as first:
        timeline, branches = first.timeline, first.branches
    return layer_lags(read, sound, timeline, design, layer=layer, branches=branches, **options)


def lags_map(tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all layers and correct `p_corrected` over layers × branches × features × lags.

    Parameters
    ----------
    tables, nulls : of each layer, from `LayerLags`.
    """
    return correct_over(tables, nulls, MAP_COLUMNS, "layers × branches × features × lags")


_COLUMNS = pd.Index(
    [
        *("model", "layer", "branch", "window", "feature", "lag", "seconds", "statistic", "estimate"),
        *("ci_lo", "ci_hi", "p", "p_corrected", "score", "n_prompts", "n_perm", "min_p", "null", "family"),
    ]
)


@dataclass(frozen=True)
class _Window:
    """Frames `start` to `stop` (past the last), whose states are used, and the largest lag."""

    start: int
    stop: int
    reach: int


def _window(timeline: Timeline) -> _Window:
    """Choose the frames that are whole after a complete step and have a frame at every lag."""
    whole = timeline.n_frames - timeline.n_codebooks + 1  # frames 0 … T − K
    reach = min(MAX_LAG, (whole - 1) // 4)
    if reach < 1:
        raise InputError(
            f"clips of {timeline.n_frames} frames are too short for lags: set generation.duration to at "
            f"least {(timeline.n_codebooks + 4) / timeline.frame_rate:g} s"
        )
    return _Window(reach, min(whole, timeline.n_frames - reach), reach)


def _why_not(sound: Sound, design: Design) -> str:
    if not sound.names:
        return "; ".join(f"{name}: {reason}" for name, reason in sound.reasons.items())
    try:
        design.folds()
    except InputError as error:
        return str(error)
    return ""


def _read(
    read: Reader, n_samples: int, timeline: Timeline, window: _Window, branches: Sequence[str]
) -> np.ndarray:
    """Read the states of the steps after which the window's frames are whole, [N, C, frames, D]."""
    written = np.where(timeline.reread[:, -1], -1, timeline.frames[:, -1])  # [S] by their last codebook
    steps = [int(np.flatnonzero(written == frame)[0]) for frame in range(window.start, window.stop)]
    parts = []
    for i in range(n_samples):
        states = read(i)
        if states.shape[:2] != (len(branches), timeline.n_steps):
            raise InputError(
                f"sample {i} has {states.shape[:2]} branches × steps, expected "
                f"{(len(branches), timeline.n_steps)}: were sound and states made together?"
            )
        parts.append(states[:, steps])
    return np.stack(parts)


def _branch(states: np.ndarray, branch: int, branches: Sequence[str]) -> np.ndarray:
    """Return one branch [N, frames, D], each clip about its own mean; delta comes last."""
    if branch < len(branches):
        x = states[:, branch].astype(np.float32)
    else:
        cond, uncond = (states[:, branches.index(name)].astype(np.float32) for name in ("cond", "uncond"))
        x = cond - uncond
    return x - x.mean(axis=1, keepdims=True)


def _lagged(values: np.ndarray, window: _Window) -> np.ndarray:
    """Lay the sound [N, T, F] out by lag, [N, frames, lags, F], each clip about its mean at that lag."""
    frames = np.arange(window.start, window.stop)[:, None] + np.arange(-window.reach, window.reach + 1)
    series = np.ascontiguousarray(values[:, frames])
    return series - series.mean(axis=1, keepdims=True)


@dataclass(frozen=True)
class _Scores:
    """r [lags, features] observed and null [m, …]; sample-wise products for the interval, [3, N, …]."""

    observed: np.ndarray
    null: np.ndarray
    products: np.ndarray


def _scores(x: np.ndarray, series: np.ndarray, feature_of: np.ndarray, design: Design, m: int) -> _Scores:
    """Predict the sound at every lag from one branch's states [N, frames, D], observed and permuted."""
    n_lags, n_columns = series.shape[2:]
    n_features = int(feature_of.max()) + 1
    tables = np.concatenate([np.arange(design.n_samples)[None], design.permutations(m)])  # [1 + m, N]
    norms = (series**2).sum(axis=1)  # [N, lags, F]
    sums = np.zeros((3, len(tables), n_lags, n_features))
    products = np.zeros((3, design.n_samples, n_lags, n_features))
    folds = design.folds()
    for number, fold in enumerate(folds):
        z = _components(x, fold)  # [N, frames, k]
        # Components are white over the training samples, so that products are regression weights.
        others = [other.test for other in folds[:number] + folds[number + 1 :]]
        learnt = [_cross_products(z, series, rows, tables) for rows in others]
        heard, heard_as = _cross_products(z, series, fold.test, tables)
        spread = np.einsum("nfk,nfl->kl", z[fold.test], z[fold.test])
        hit, power = np.empty((2, len(tables), n_lags, n_columns))
        for rows in _pieces(len(tables), heard[0].size):
            weights = reduce(np.add, (products[of[rows]] for products, of in learnt))  # [m, k, lags * F]
            shape = (len(weights), n_lags, n_columns)
            hit[rows] = np.einsum("mkc,mkc->mc", weights, heard[heard_as[rows]]).reshape(shape)
            power[rows] = np.einsum("mkc,mkc->mc", weights, spread @ weights).reshape(shape)
        level = norms[tables[:, fold.test]].sum(axis=1)
        for kind, values in enumerate((hit, power, level)):
            sums[kind] += _by_feature(values, feature_of)
        observed = reduce(np.add, (products[of[0]] for products, of in learnt)).reshape(-1, n_lags, n_columns)
        products[:, fold.test] = _products(z, series, norms, observed, fold, feature_of)
    r = _r(*sums)
    return _Scores(r[0], r[1:], products)


def _r(hit: np.ndarray, power: np.ndarray, level: np.ndarray) -> np.ndarray:
    scale = np.sqrt(power * level)
    return np.divide(hit, scale, out=np.zeros_like(hit), where=scale > 0)


def _by_feature(values: np.ndarray, feature_of: np.ndarray) -> np.ndarray:
    """Sum the columns [..., F] of each feature."""
    starts = np.flatnonzero(np.r_[True, np.diff(feature_of) > 0])
    return np.add.reduceat(values, starts, axis=-1)


def _components(x: np.ndarray, fold: Fold) -> np.ndarray:
    """Scores [N, frames, k] on the largest components of the training samples, white over these.

    What is common to the training samples at a step is taken from all.
    """
    x = x - x[fold.train].mean(axis=0)
    rows = x[fold.train].reshape(-1, x.shape[-1])
    values, vectors = np.linalg.eigh(rows.T @ rows)
    kept = values[::-1][:COMPONENTS] > 1e-6 * values[-1]
    axes = vectors[:, ::-1][:, :COMPONENTS][:, kept] / np.sqrt(values[::-1][:COMPONENTS][kept])
    return x @ axes.astype(np.float32)


def _cross_products(
    z: np.ndarray, series: np.ndarray, rows: np.ndarray, tables: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the products of samples' states with the sounds that each permutation gives them.

    Parameters
    ----------
    z : [N, frames, k]; series : [N, frames, lags, F]; rows : the samples to sum over.
    tables : [m, N] whose sound each sample is given.

    Returns
    -------
    sums : float32 [arrangements, k, lags * F]. Within a template there are few arrangements and fewer
        pairs, and each is computed once.
    arrangement_of : int [m], which of them each permutation makes.
    """
    arrangements, arrangement_of = np.unique(tables[:, rows], axis=0, return_inverse=True)
    pairs, pair_of = np.unique(arrangements * len(z) + rows, return_inverse=True)
    heard, state_of = np.divmod(pairs, len(z))  # the pairs, sorted by whose sound it is
    flat = series.reshape(*series.shape[:2], -1)  # [N, frames, lags * F]
    products = np.empty((len(pairs), z.shape[-1], flat.shape[-1]), np.float32)
    for sample in np.unique(heard):
        of_sample = np.flatnonzero(heard == sample)
        states = z[state_of[of_sample]].swapaxes(1, 2)  # [pairs, k, frames]
        together = states.reshape(-1, states.shape[-1]) @ flat[sample]
        products[of_sample] = together.reshape(states.shape[:2] + flat.shape[-1:])
    held = np.zeros((len(arrangements), len(pairs)), np.float32)
    for pair in pair_of.reshape(arrangements.shape).T:
        held[np.arange(len(held)), pair] = 1
    sums = held @ products.reshape(len(pairs), -1)
    return sums.reshape(-1, *products.shape[1:]), arrangement_of.ravel()


def _pieces(m: int, size: int) -> Iterator[slice]:
    """Cut m permutations of `size` values each into pieces."""
    step = max(1, _AT_ONCE // size)
    for start in range(0, m, step):
        yield slice(start, start + step)


def _products(
    z: np.ndarray,
    series: np.ndarray,
    norms: np.ndarray,
    weights: np.ndarray,
    fold: Fold,
    feature_of: np.ndarray,
) -> np.ndarray:
    """Observed products of each test sample, prediction × sound, prediction² and sound², [3, test, …]."""
    predicted = np.einsum("nfk,klc->nflc", z[fold.test], weights, optimize=True)
    hit = (predicted * series[fold.test]).sum(axis=1)
    three = (hit, (predicted**2).sum(axis=1), norms[fold.test])
    return np.stack([_by_feature(values, feature_of) for values in three])


def _rows(branches: Sequence[str], lags: np.ndarray, sound: Sound, design: Design, why: str) -> pd.DataFrame:
    """The rows of one layer, without results."""
    table = pd.DataFrame(
        [
            (branch, name, lag)
            for branch in branches
            for name in (*sound.names, *sound.reasons)
            for lag in lags.tolist()
        ],
        columns=["branch", "feature", "lag"],
    )
    gaps = dict.fromkeys(("estimate", "ci_lo", "ci_hi", "p", "p_corrected", "score", "min_p"), np.nan)
    reasons = dict.fromkeys(sound.names, why or "all samples are equal (deterministic)") | sound.reasons
    return table.assign(
        **gaps,
        window="whole",
        statistic=STATISTIC,
        n_prompts=design.n_prompts,
        n_perm=0,
        null=[f"none: {reasons[name]}" for name in table["feature"].tolist()],
        family="",
    )


def _fill(
    table: pd.DataFrame,
    found: Sequence[_Scores | None],
    n_lags: int,
    sound: Sound,
    design: Design,
    m: int,
    n_bootstraps: int,
) -> pd.DataFrame:
    """Write results into the rows of one layer, in place; return its null maxima."""
    maxima, places, nulls = [], [], []
    counts = design.bootstraps(n_bootstraps).samples()  # [bootstraps, N]
    per_branch = (len(sound.names) + len(sound.reasons)) * n_lags
    for number, scores in enumerate(found):
        if scores is None:
            continue
        rows = number * per_branch + np.arange(len(sound.names) * n_lags)
        observed = scores.observed.T.ravel()  # features × lags
        products = scores.products.swapaxes(2, 3).reshape(3, design.n_samples, -1)
        low, high, _ = percentile_interval(observed, _r(*(counts @ products)), design.resampled)
        table.loc[rows, "estimate"] = observed
        table.loc[rows, ["ci_lo", "ci_hi"]] = np.stack([low, high], axis=1)
        places.append(rows)
        nulls.append(scores.null.swapaxes(1, 2).reshape(m, -1))
    if places:
        rows = np.concatenate(places)
        observed = table["estimate"].to_numpy(float)[rows]
        result = design.test(observed, np.concatenate(nulls, axis=1), of="pairs")
        record(
            table,
            rows,
            result,
            min_p=design.smallest_p(m, of="pairs"),
            null=design.null_text(m, "states of one sample with the sound of another,"),
            family="branches × features × lags of this layer",
            why_not=[design.why_not(m, of="pairs")] * len(rows),
        )
        if np.isfinite(result.p).any():
            maxima.append(({"statistic": STATISTIC}, result.null_max))
    return null_table(maxima, design.permutation_hash(m), MAP_COLUMNS, m)

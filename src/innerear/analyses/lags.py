"""Which frames of the sound go with the states of a moment, and when.

Both are smooth series, so correlating them within a clip would find something almost always. The null
therefore pairs the states of one sample with the sound of another, through the whole pipeline, and no
function here works without it. What all clips share at a step is removed first, and so is each clip's
mean, which is the subject of `innerear.analyses.sound`.

Frame f is whole after step f + max d, which predicts its last codebook; max d is the delay of that codebook,
K − 1 in most models. Lag 0 pairs the states at that step with that frame. At lag > 0 the sound comes later
than the states (planning), at lag < 0 earlier (history).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from os import PathLike

import numpy as np
import pandas as pd

from innerear.acoustics.features import CHROMA
from innerear.errors import InputError
from innerear.stacks import LayerReader, Stack
from innerear.statistics.cells import write_estimates
from innerear.statistics.design import Design, Fold
from innerear.statistics.finding import Finding
from innerear.statistics.pieces import pieces
from innerear.statistics.table import INTERVAL, LayerResult, Maxima, blank, columns, record
from innerear.timeline import Timeline

MAX_LAG = 25
COMPONENTS = 10
STATISTIC = "held-out r"
MAP_COLUMNS = ("statistic",)
FAMILY = "layers × branches × features × lags"
#: what is followed: name → its columns among the frame features
FOLLOWED: Mapping[str, Sequence[str]] = {
    **{name: (name,) for name in ("rms", "onset_strength", "centroid", "flatness", "flux")},
    "chroma": CHROMA,
}
# A feature that more of a study's frames lack is not used.
MAX_MISSING = 0.1
# Permutations are scored in pieces of about this many values, to stay in cache.
_AT_ONCE = 2**17

#: reads sample i's states of all branches, [C, S, D]
Reader = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class Sound:
    """Frame features of all samples, ready to be followed.

    `feature_of` int [F] is the feature, of `names`, of each column of `values` float32 [N, T, F]: of unit
    variance, without the mean over samples at each frame, 0 where not measured. `reasons` are feature → why
    it cannot be used.
    """

    names: list[str]
    feature_of: np.ndarray
    values: np.ndarray
    reasons: dict[str, str]


def followed(frames: Mapping[str, np.ndarray], groups: Mapping[str, Sequence[str]] = FOLLOWED) -> Sound:
    """Prepare frame features, column → [N, T] with NaN gaps; columns of one group are scored together.

    Raises
    ------
    InputError: a column that `frames` lacks.

    Examples
    --------
    >>> sound = followed({"rms": np.array([[1.0, 2.0], [3.0, 2.5]])}, {"rms": ("rms",)})
    >>> sound.values.shape, sound.names
    ((2, 2, 1), ['rms'])
    """
    absent = [name for columns in groups.values() for name in columns if name not in frames]
    if absent:
        raise InputError(f"the frame features lack {absent[0]!r}: remake acoustics/frames")
    names, feature_of, values, reasons = [], [], [], {}
    for name, own in groups.items():
        series = np.stack([np.asarray(frames[column], float) for column in own], axis=-1)  # [N, T, F]
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
        feature_of += [len(names)] * len(own)
        names.append(name)
        values.append((left / scale).astype(np.float32))
    whole = np.concatenate(values, axis=-1) if values else np.empty((0, 0, 0), np.float32)
    return Sound(names, np.array(feature_of, int), whole, reasons)


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
    frames. The prediction is linear in the ten largest principal components of the states; everything is
    fitted on the other templates. All lags use the same steps, those with a frame at every lag. Missing
    frames count as their mean.

    Intervals resample templates, then seeds, of the held-out products; fits are not repeated. The null
    exchanges the sound of whole prompts within templates, seed by seed, and fits anew. `p_corrected` is max-T
    over branches × features × lags of the layer.

    Raises
    ------
    InputError: clips too short for any lag, or states that do not fit the timeline.
    """
    window = _window(timeline)
    lags = np.arange(-window.reach, window.reach + 1)
    why = design.why_no_folds
    if not sound.names:
        why = "; ".join(f"{name}: {reason}" for name, reason in sound.reasons.items())
    names = [*branches, *(["delta"] if {"cond", "uncond"} <= set(branches) else [])]
    found: list[_Scores | None] = []
    if not why:
        states = _read(read, design.n_samples, timeline, window, branches)
        series = _lagged(sound.values, window)  # [N, frames, lags, F]
        for branch in names:
            x = _of_branch(states, branch, branches)
            scores = _scores(x, series, sound.feature_of, design) if x.any() else None
            found.append(scores)
    table = _untested(names, lags, sound, design, why)
    maxima = _fill(table, found, len(lags), sound, design)
    return LayerResult(table.assign(seconds=table["lag"] / timeline.frame_rate), maxima=maxima)


COLUMNS = columns("branch", "window", "feature", "lag", "seconds", "statistic", *INTERVAL)


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
    if reach < 1:
        raise InputError(
            f"clips of {timeline.n_frames} frames are too short for lags: set generation.duration to at "
            f"least {(timeline.max_delay + 5) / timeline.frame_rate:g} s"
        )
    return _Window(reach, min(whole, timeline.n_frames - reach), reach)


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


def _of_branch(states: np.ndarray, branch: str, branches: Sequence[str]) -> np.ndarray:
    """Return one branch [N, frames, D], each clip about its own mean; delta is cond − uncond."""

    def stored(name: str) -> np.ndarray:
        return states[:, branches.index(name)].astype(np.float32)

    x = stored(branch) if branch in branches else stored("cond") - stored("uncond")
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


def _scores(x: np.ndarray, series: np.ndarray, feature_of: np.ndarray, design: Design) -> _Scores:
    """Predict the sound at every lag from one branch's states [N, frames, D], observed and permuted."""
    n_lags, n_columns = series.shape[2:]
    n_features = int(feature_of.max()) + 1
    tables = np.concatenate([np.arange(design.n_samples)[None], design.permutations()])  # [1 + m, N]
    norms = (series**2).sum(axis=1)  # [N, lags, F]
    sums = np.zeros((3, len(tables), n_lags, n_features))
    products = np.zeros((3, design.n_samples, n_lags, n_features))
    folds = design.folds()
    for number, fold in enumerate(folds):
        z = _components(x, fold)  # [N, frames, k]
        # Components are white over the training samples, so that products are regression weights.
        others = [other.test for other in folds[:number] + folds[number + 1 :]]
        learnt = [_cross_products(z, series, rows, tables) for rows in others]
        tested, tested_of = _cross_products(z, series, fold.test, tables)
        spread = np.einsum("nfk,nfl->kl", z[fold.test], z[fold.test])
        hit, power = np.empty((2, len(tables), n_lags, n_columns))
        for rows in pieces(len(tables), tested[0].size, _AT_ONCE):
            weights = reduce(np.add, (products[of[rows]] for products, of in learnt))  # [m, k, lags * F]
            shape = (len(weights), n_lags, n_columns)
            hit[rows] = np.einsum("mkc,mkc->mc", weights, tested[tested_of[rows]]).reshape(shape)
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
    """Scores [N, frames, k] on the largest components of the training samples, centred and white there."""
    x = x - x[fold.train].mean(axis=0)
    rows = x[fold.train].reshape(-1, x.shape[-1])
    values, vectors = np.linalg.eigh(rows.T @ rows)
    kept = values[::-1][:COMPONENTS] > 1e-6 * values[-1]
    axes = vectors[:, ::-1][:, :COMPONENTS][:, kept] / np.sqrt(values[::-1][:COMPONENTS][kept])
    return x @ axes.astype(np.float32)


def _cross_products(
    z: np.ndarray, series: np.ndarray, rows: np.ndarray, tables: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum over `rows` the products of states [N, frames, k] with the sound that each permutation gives them.

    Returns float32 [arrangements, k, lags * F], and which arrangement each permutation makes, int [m]. Within
    a template there are few arrangements and fewer pairs, and each is computed once.
    """
    arrangements, arrangement_of = np.unique(tables[:, rows], axis=0, return_inverse=True)
    pairs, pair_of = np.unique(arrangements * len(z) + rows, return_inverse=True)
    sound_of, state_of = np.divmod(pairs, len(z))  # the pairs, sorted by whose sound it is
    flat = series.reshape(*series.shape[:2], -1)  # [N, frames, lags * F]
    products = np.empty((len(pairs), z.shape[-1], flat.shape[-1]), np.float32)
    for sample in np.unique(sound_of):
        of_sample = np.flatnonzero(sound_of == sample)
        states = z[state_of[of_sample]].swapaxes(1, 2)  # [pairs, k, frames]
        together = states.reshape(-1, states.shape[-1]) @ flat[sample]
        products[of_sample] = together.reshape(states.shape[:2] + flat.shape[-1:])
    held = np.zeros((len(arrangements), len(pairs)), np.float32)
    for pair in pair_of.reshape(arrangements.shape).T:
        held[np.arange(len(held)), pair] = 1
    sums = held @ products.reshape(len(pairs), -1)
    return sums.reshape(-1, *products.shape[1:]), arrangement_of.ravel()


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


def _untested(
    branches: Sequence[str], lags: np.ndarray, sound: Sound, design: Design, why: str
) -> pd.DataFrame:
    """The rows of one layer, without results."""
    reasons = dict.fromkeys(sound.names, why or "all samples are equal (deterministic)") | sound.reasons
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
    counts = design.bootstraps().samples()  # [bootstraps, N]
    per_branch = (len(sound.names) + len(sound.reasons)) * n_lags
    for number, scores in enumerate(found):
        if scores is None:
            continue
        rows = number * per_branch + np.arange(len(sound.names) * n_lags)
        observed = scores.observed.T.ravel()  # features × lags
        products = scores.products.swapaxes(2, 3).reshape(3, design.n_samples, -1)
        write_estimates(table, rows, design, observed, _r(*(counts @ products)))
        places.append(rows)
        nulls.append(scores.null.swapaxes(1, 2).reshape(design.n_permutations, -1))
    if not places:
        return []
    rows = np.concatenate(places)
    observed, null = table["estimate"].to_numpy(float)[rows], np.concatenate(nulls, axis=1)
    moved = "states of one sample with the sound of another,"
    family = "branches × features × lags of this layer"
    return record(table, rows, design, observed, null, family=family, moved=moved, of="pairs")


FINDINGS = (
    Finding(
        "Do the states go with the sound from moment to moment, beyond what clips share?",
        "Yes, over all features, layers, branches and lags: surest for {feature} at a lag of {lag} "
        "frames, {effect}.",
        {"statistic": STATISTIC},
        "lags",
        unit="r",
        meaning="held-out correlation over a clip's frames of the sound with its prediction from the states",
        aside="Lags 1 to K − 1 (K codebooks) are still of the frame that the step completes: neither "
        "plan nor memory.",
    ),
)

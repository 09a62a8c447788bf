"""How similar samples are inside the model: cosine matrices, curves over five strata of pairs, CKA.

Raw cosines of residual streams are near 1, because all samples share a large mean. They are kept as a
*diagnostic* only. The tests use centred or standardised features. They compare pairs of prompts within one
seed relation, since two prompts with the same seed share their sampling noise.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.gram.reading import GramSource, analysed_cells, cosine, raw_gram
from innerear.statistics.cells import estimates, no_p, record_by_over, rounded
from innerear.statistics.design import STRATA, Design
from innerear.statistics.finding import Finding
from innerear.statistics.pieces import pieces
from innerear.statistics.table import INTERVAL, LayerResult, Maxima, columns
from innerear.study.questions import QUESTIONS

MEASURES = CENTRED, STANDARDISED, RAW = "centred", "standardised", "raw (diagnostic)"
#: columns that name a map of layers × cells
MAP_COLUMNS = ("branch", "measure", "statistic", "over")
FAMILY = "layers × {over} of a branch"
SAME_SEED, OTHER_SEED = "emotion effect, same seed", "emotion effect, other seed"
RATING_SAME_SEED, RATING_OTHER_SEED = "rating correlation, same seed", "rating correlation, other seed"
#: effect → the strata whose difference it is
EFFECTS = {SAME_SEED: (2, 4), OTHER_SEED: (3, 5), "prompt effect": (1, 3), "seed effect": (2, 3)}
#: the same for ratings: −r of two prompts' cosine with the distance of their ratings
CORRELATIONS = {RATING_SAME_SEED: (2, 4), RATING_OTHER_SEED: (3, 5)}
#: effects of the label; only these can be tested by permuting labels
TESTED = (SAME_SEED, OTHER_SEED, *CORRELATIONS)
# Steps of activations are compared in blocks of about this many numbers, to stay in the processor's cache.
_BLOCK = 2**18
# Share of a Gram matrix's size below which what U-centring leaves is rounding.
_NOTHING = 1e-6
_FEWEST = 4


def cosine_similarity(
    x: Any,
    y: Any = None,
    branch: str | None = None,
    center: bool | np.ndarray | None = None,
    average: bool | None = None,
) -> np.ndarray | float:
    """Cosine similarity of two sets of activations: a number for one clip each, step by step for several.

    The number for two clips is the mean over all steps of the cosine between their states at one step, each
    without its mean over units, which the model's LayerNorms discard. It is a raw cosine: nothing that all
    clips share is subtracted, so two clips of anything are alike to some degree. To compare emotions, give
    several clips and read the centred array.

    Parameters
    ----------
    x, y : [S, C, B, D] activations of one layer as `ActivationExtractor.get_activations` returns
        them (torch tensors or arrays), of equal S, C, D. Without y, x is compared with itself.
    branch : ``"cond"``, ``"uncond"``, or ``"delta"`` (cond − uncond); by default the first one, cond
        where a text was read.
    center : True, the default for several samples, subtracts at each step the mean over the samples of x
        and y together; an array [S, D] (of the same branch) is subtracted instead, a mean over a larger
        study, say; False compares states as they are given, which with their mean over units
        (``raw=True``) is near 1 for any two inputs.
    average : whether to average over steps; by default where x and y hold one sample each.

    Returns
    -------
    [S, Bx, By] in −1 … 1; NaN where a state equals the mean. float64 where x is, else float32;
    it takes the memory of the result and of a block of steps. Averaged, [Bx, By], or a float for one
    sample each, leaving out steps that are NaN.

    Raises
    ------
    InputError: shapes that do not fit, an unknown branch, or a mean over fewer than three samples
    (two centred samples have cosine −1 whatever they are).

    Examples
    --------
    >>> happy, sad = np.random.default_rng(0).normal(size=(2, 5, 2, 3, 8))
    >>> cosine_similarity(happy, sad, branch="uncond").shape
    (5, 3, 3)
    >>> f"{cosine_similarity(happy[:, :, :1], sad[:, :, :1]):.4f}"
    '0.3141'
    """
    names = getattr(x, "branches", None), getattr(x if y is None else y, "branches", None)
    x, y, itself = _array(x), _array(x if y is None else y), y is None or y is x
    if x.shape[0] != y.shape[0] or x.shape[-1] != y.shape[-1]:
        raise InputError(
            f"x has {x.shape[0]} steps × {x.shape[-1]} dimensions, y {y.shape[0]} × "
            f"{y.shape[-1]}: compare one layer of clips of one duration"
        )
    single = x.shape[2] == y.shape[2] == 1
    level = center is None and single  # then states lose their mean over units
    center = _center(not single if center is None else center, (len(x), x.shape[-1]))
    result = np.empty((len(x), x.shape[2], y.shape[2]), x.dtype if x.dtype == float else np.float32)
    size = max(1, _BLOCK // (x.shape[2] * x.shape[3]))
    for start in range(0, len(x), size):
        steps = slice(start, start + size)
        mean = center[steps] if isinstance(center, np.ndarray) else center
        first = _branch(x[steps], branch, result.dtype, names[0])
        second = first if itself else _branch(y[steps], branch, result.dtype, names[1])
        if level:
            first, second = (values - values.mean(axis=-1, keepdims=True) for values in (first, second))
        result[steps] = _cosines_of_block(first, second, mean)
    if not (single if average is None else average):
        return result
    known = ~np.isnan(result)
    total = np.where(known, result, 0).sum(axis=0, dtype=float)
    mean = np.divide(total, known.sum(axis=0), out=np.full(total.shape, np.nan), where=known.any(axis=0))
    return float(mean.item()) if single else mean


def _center(center: Any, shape: tuple[int, int]) -> bool | np.ndarray:
    """Return the mean [S, D] that is given, or whether to take that of the samples."""
    if isinstance(center, bool | np.bool_):
        return bool(center)
    values = np.asarray(center.detach().cpu() if hasattr(center, "detach") else center)
    if values.shape != shape or values.dtype.kind not in "fiu":
        raise InputError(
            f"center: {type(center).__name__} of shape {values.shape} is not allowed; give True, False, or a "
            f"mean of shape {shape} [steps, d_model]"
        )
    return values


def _cosines_of_block(first: np.ndarray, second: np.ndarray, center: bool | np.ndarray) -> np.ndarray:
    """Cosines [S, Bx, By] of the states [S, B, D] of a block of steps."""
    mean = np.zeros((), first.dtype)
    if isinstance(center, np.ndarray):
        mean = np.asarray(center, first.dtype)[:, None, :]
    elif center:
        n = first.shape[1] + second.shape[1] * (second is not first)
        if n < 3:
            raise InputError(
                f"center=True with {n} samples: their centred cosine is −1 by construction; "
                "give more samples, a mean as center=[S, D], or center=False for the raw diagnostic"
            )
        total = first.sum(axis=1, keepdims=True)
        mean = (total if second is first else total + second.sum(axis=1, keepdims=True)) / n
    unit = _unit(first - mean)
    return unit @ (unit if second is first else _unit(second - mean)).swapaxes(-1, -2)


def _array(activations: Any) -> np.ndarray:
    if hasattr(activations, "detach"):  # a torch tensor, without importing torch
        tensor = activations.detach().cpu()
        activations = (tensor.float() if tensor.element_size() < 4 else tensor).numpy()
    try:
        values = np.asarray(activations)
    except ValueError:  # lists of unequal length
        values = np.empty(0)
    if values.ndim != 4 or not values.size or values.dtype.kind not in "fiu":
        raise InputError(
            f"activations have shape {values.shape}; expected numbers [steps, branches, samples, d_model] of "
            "one layer"
        )
    return values


def _branch(
    values: np.ndarray, branch: str | None, dtype: np.dtype, names: Sequence[str] | None
) -> np.ndarray:
    """Return the states [S, B, D] of a branch of [S, C, B, D]; `names` are those of the C branches."""
    names = tuple(names or ("cond", "uncond")[: values.shape[1]])
    branch = names[0] if branch is None else branch
    if branch == "delta" and len(names) == 2:
        return values[:, 0].astype(dtype) - values[:, 1].astype(dtype)
    if branch not in names or values.shape[1] > 2:
        raise InputError(
            f"branch={branch!r} is not in activations with {values.shape[1]} branches ({', '.join(names)}); "
            "delta is where there are cond and uncond"
        )
    return values[:, names.index(branch)].astype(dtype)


def _unit(values: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.divide(values, length, out=np.full_like(values, np.nan), where=length > 0)


def debiased_cka(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    """Linear CKA with the unbiased HSIC estimator (Song et al. 2012, eq. 5; Murphy et al. 2024).

    Of Gram matrices (N, N) of the same N ≥ 4 samples, in the same order, centred or not: 1 for
    representations equal up to rotation, shift and scale; 0 in expectation for independent ones (may be
    slightly negative); NaN if either does not vary.

    Raises
    ------
    InputError: fewer than 4 samples, or shapes that differ.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(10, 3))
    >>> round(debiased_cka(x @ x.T, 4 * x @ x.T), 6)
    1.0
    """
    x, y = np.asarray(gram_x, float), np.asarray(gram_y, float)
    if x.shape != y.shape or x.ndim != 2 or x.shape[0] != x.shape[1]:
        raise InputError(
            f"Gram matrices of shapes {x.shape} and {y.shape}: both must be (N, N) of the same samples"
        )
    if len(x) < _FEWEST:
        raise InputError(f"debiased CKA of {len(x)} samples: its estimator needs at least {_FEWEST}")
    return float(cka_vectors(x) @ cka_vectors(y))


def cka_vectors(grams: np.ndarray) -> np.ndarray:
    """Turn Gram matrices [..., N, N] into unit vectors [..., pairs] whose inner products are debiased CKA.

    The unbiased HSIC is the inner product of U-centred matrices (Székely & Rizzo 2014): entries off the
    diagonal without the samples' additive effects. NaN where nothing is left, and for fewer than 4 samples.
    """
    n = grams.shape[-1]
    i, j = np.triu_indices(n, 1)
    if n < _FEWEST:
        return np.full((*grams.shape[:-2], len(i)), np.nan)
    inner = np.array(grams, float)
    inner[..., np.arange(n), np.arange(n)] = 0
    size = np.linalg.norm(inner, axis=(-2, -1))[..., None]
    sums = inner.sum(axis=-1)
    vectors = inner[..., i, j] - (sums[..., i] + sums[..., j]) / (n - 2)
    vectors += (sums.sum(axis=-1) / ((n - 1) * (n - 2)))[..., None]
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.full_like(vectors, np.nan), where=length > _NOTHING * size)


def of_layer(gram: GramSource, design: Design) -> LayerResult:
    """Compute one layer's cosine matrices, strata curves and tested effects.

    One row per branch, measure, statistic and complete step or window; and `matrices`
    [measure, branch, window, sample, sample_2], the cosines.

    Statistics are the mean cosine of each stratum and the effects in `EFFECTS`, with 95 % percentile
    intervals over bootstraps of templates (or prompts), then seeds. For a rating the strata are those of the
    emotions, and `CORRELATIONS` replace the emotion effects: correlations of cosines with distances between
    ratings over the same pairs (the statistic of Mantel 1967), positive if near ratings go with high cosines.

    A resample of few templates or seeds may hold no pair of a stratum, see `percentile_interval`. Emotion
    effects and correlations are tested, one-sided, by permuting labels within templates; `p_corrected` is
    max-T over the steps (or windows) of this layer and branch. Cells without variance (`deterministic`) or
    without pairs are NaN, with the reason in `null`.
    """
    pairs, cells = _Pairs(design), analysed_cells(gram)
    frames, maxima, matrices = [], [], []
    for measure in MEASURES:
        for branch in gram.labels("branch"):
            by_step, by_window = _cosines(gram, measure, branch)
            matrices.append(by_window)
            named, cosines = (
                cells.assign(branch=branch, measure=measure),
                np.concatenate([by_step, by_window]),
            )
            table, tested = pairs.summary(cosines, named, tests=measure != RAW)
            frames.append(table)
            maxima += tested
    axes = ("measure", "branch", "window", "sample", "sample_2")
    coords = {name: np.asarray(gram.coords(name)) for name in axes[1:]} | {"measure": np.array(MEASURES)}
    by_window = np.array(matrices, np.float32)  # [measures * C, W, N, N]
    by_window = by_window.reshape(len(MEASURES), -1, *by_window.shape[1:])
    return LayerResult(
        rounded(frames), None, {"matrices": (axes, by_window)}, coords, maxima=maxima, remarks=no_p(design)
    )


COLUMNS = columns(
    *("branch", "over", "step", "seconds", "window", "measure", "statistic", *INTERVAL, "interval")
)


def _cosines(gram: GramSource, measure: str, branch: str) -> tuple[np.ndarray, np.ndarray]:
    """Cosine matrices of one branch, by complete step [S, N, N] and by window [W, N, N]."""
    if measure == STANDARDISED:
        by_step = gram.read("standardised", branch=branch)
        by_window = gram.read("window_standardised", branch=branch)
    elif measure == CENTRED:
        by_step = cosine(gram.read("gram", branch=branch))
        by_window = cosine(gram.read("window_gram", branch=branch))
    else:
        by_step = cosine(
            raw_gram(*(gram.read(name, branch=branch) for name in ("gram", "mean_product", "mean_norm")))
        )
        means = gram.read("window_mean", branch=branch)  # [W, N, D]
        by_window = cosine(means @ means.swapaxes(-1, -2))
    if measure != RAW:
        by_step = np.where(gram.read("deterministic", branch=branch)[:, None, None], np.nan, by_step)
    return by_step[np.flatnonzero(gram.read("complete"))], by_window


class _Pairs:
    """The pairs of samples in each stratum, and their weights under resampling and relabeling."""

    def __init__(self, design: Design) -> None:
        self.design = design
        strata = np.triu(design.strata())
        self.members = {k: np.nonzero(strata == k) for k in STRATA}
        self.bootstraps = design.bootstraps()
        codes = np.unique(design.labels, return_inverse=True)[1]
        self.observed = design.targets[design.prompt_of, 0] if design.numeric else codes  # [N]
        self.labels = self.observed[design.permutations()]  # [m, N]

    def summary(
        self, matrices: np.ndarray, cells: pd.DataFrame, *, tests: bool
    ) -> tuple[pd.DataFrame, list[Maxima]]:
        """Summarise cosine matrices [cells, N, N]: strata always, effects and tests if `tests`."""
        values = {k: matrices[:, i, j].T for k, (i, j) in self.members.items()}  # [pairs, cells]
        means = {k: _mean(pairs) for k, pairs in values.items()}
        boots = {k: self._bootstrap(k, pairs) for k, pairs in values.items()}  # [m, cells]
        rows = [self._rows(cells, name, (k,), means[k], boots[k]) for k, name in STRATA.items()]
        maxima = []
        for name, (a, b) in self._effects().items() if tests else ():
            if name in CORRELATIONS:
                of_both = np.concatenate([values[a], values[b]])
                estimate, null, resampled = self._correlation(of_both, a, b)
            else:
                estimate, resampled = means[a] - means[b], boots[a] - boots[b]
                null = self._null(values[a], values[b], a, b) if name in TESTED else None
            rows.append(self._rows(cells, name, (a, b), estimate, resampled))
            if null is not None:
                why_not = "under some relabelings no two prompts, or all, share a label"
                maxima += record_by_over(rows[-1], self.design, null, why_not=why_not)
        return pd.concat(rows, ignore_index=True), maxima

    def _effects(self) -> dict[str, tuple[int, int]]:
        if not self.design.numeric:
            return EFFECTS
        return {name: strata for name, strata in EFFECTS.items() if name not in TESTED} | CORRELATIONS

    def _rows(
        self, cells: pd.DataFrame, name: str, strata: tuple[int, ...], estimate: np.ndarray, boots: np.ndarray
    ) -> pd.DataFrame:
        why = np.where(np.isfinite(estimate), "an estimate, not tested", self._why_nan(strata))
        null = [f"none: {one}" for one in why]
        return estimates(cells, self.design, estimate, boots, statistic=name, null=null)

    def _why_nan(self, strata: tuple[int, ...]) -> str:
        """Say why an estimate from these strata is NaN."""
        empty = [STRATA[k] for k in strata if not len(self.members[k][0])]
        if self.design.numeric and strata in CORRELATIONS.values():
            return f"no pairs of prompts that differ in {self.design.label}, or all samples are equal"
        return f"no two samples are {empty[0]!r}" if empty else "all samples are equal (deterministic)"

    def _bootstrap(self, stratum: int, values: np.ndarray) -> np.ndarray:
        """Mean of a stratum's pairs [pairs, cells] in every bootstrap, [m, cells]."""
        i, j = self.members[stratum]
        means = np.full((len(self.bootstraps), values.shape[1]), np.nan, np.float32)
        for rows in pieces(len(means), len(i)):
            weights = self.bootstraps.pairs(i, j, rows)  # [m, pairs]
            total = weights.sum(axis=1, keepdims=True)
            np.divide(weights @ values, total, out=means[rows], where=total > 0)
        return means

    def _correlation(self, values: np.ndarray, a: int, b: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Correlate cosines [pairs, cells] with nearness: observed [cells], null and resampled [m, cells]."""
        i, j = np.concatenate([self.members[a], self.members[b]], axis=1)
        values = values - values.mean(axis=0) if len(i) else values
        null = np.full((len(self.labels), values.shape[1]), np.nan)
        boots = np.full((len(self.bootstraps), values.shape[1]), np.nan)
        distance = np.abs(self.observed[i] - self.observed[j])  # [pairs]
        if not len(i) or not np.ptp(distance):
            return np.full(values.shape[1], np.nan), null, boots
        size = np.linalg.norm(values, axis=0)
        unit = np.divide(values, size, out=np.full(values.shape, np.nan), where=size > 0)
        for rows in pieces(len(null), len(i)):
            null[rows] = -_unit(_centred(np.abs(self.labels[rows][:, i] - self.labels[rows][:, j]))) @ unit
        for rows in pieces(len(boots), len(i)):
            weights = self.bootstraps.pairs(i, j, rows).astype(float)  # [m, pairs]
            weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
            away = distance - weights @ distance[:, None]
            spread = weights @ values**2 - (weights @ values) ** 2  # [m, cells]
            scale = np.sqrt(np.maximum(spread, 0) * (weights * away**2).sum(axis=1, keepdims=True))
            product = (weights * away) @ values
            boots[rows] = -np.divide(product, scale, out=np.full(product.shape, np.nan), where=scale > 0)
        return -_unit(_centred(distance)[None])[0] @ unit, null, boots

    def _null(self, same: np.ndarray, other: np.ndarray, a: int, b: int) -> np.ndarray:
        """Emotion effect under every permutation, [m, cells]."""
        # In float64 a relabeling that only renames ties with the observed effect.
        values = np.concatenate([same, other]).astype(float)  # [pairs, cells]
        i, j = np.concatenate([self.members[a], self.members[b]], axis=1)
        null = np.full((len(self.labels), values.shape[1]), np.nan)
        if not len(same) or not len(other) or not self.design.can_test:
            return null
        total = values.sum(axis=0)
        for rows in pieces(len(self.labels), len(i)):
            equal = (self.labels[rows][:, i] == self.labels[rows][:, j]).astype(float)  # [m, pairs]
            n_equal = equal.sum(axis=1, keepdims=True)
            summed, n_other = equal @ values, len(i) - n_equal
            both = (n_equal * n_other)[:, 0] > 0
            null[rows][both] = summed[both] / n_equal[both] - (total - summed[both]) / n_other[both]
        return null


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=-1, keepdims=True)


def _mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=0, dtype=float) if len(values) else np.full(values.shape[1], np.nan)


_TESTED_WHOLE = {"measure": CENTRED, "over": "windows", "window": "whole"}
_TESTED_WHOLE |= {"statistic": [OTHER_SEED, RATING_OTHER_SEED]}
_EFFECT_MEANS = (
    "mean cosine of pairs {alike} less that of pairs {unlike}, of other seeds and other templates (for "
    "ratings: correlation of cosine and nearness); 0 without an effect"
)
FINDINGS = (
    Finding(
        "Are two clips {alike} more alike than two clips {unlike}, in uncond, which reads no text?",
        "Yes, over all layers ({n_found} of {n_layers} by themselves): by {effect}.",
        _TESTED_WHOLE | {"branch": "uncond"},
        "emotion_effect",
        unit="cosine",
        meaning=_EFFECT_MEANS,
    ),
    Finding(
        QUESTIONS["delta"],
        "Yes, over all layers ({n_found} of {n_layers} by themselves): two clips {alike} are more alike "
        "than two {unlike}, by {effect}.",
        _TESTED_WHOLE | {"branch": "delta"},
        "emotion_effect",
        key="delta",
        unit="cosine",
        meaning=_EFFECT_MEANS,
    ),
)

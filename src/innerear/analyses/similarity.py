"""How alike samples are inside the model: cosine matrices, curves over five strata of pairs, CKA.

Raw cosines of residual streams are near 1 because of a mean that all samples share, so they are kept
as a *diagnostic* only. What is tested is centred or standardised, and compares pairs of prompts with
each other within one seed relation, since a seed shared by two prompts couples their sampling.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.gram.reading import GramSource, analysed_cells, cosine, raw_gram
from innerear.stacks.gram_file import Arrays, Coords
from innerear.statistics.design import STRATA, Design
from innerear.statistics.significance import correct_over_cells, null_table, percentile_interval, record

MEASURES = ("centred", "standardised", "raw (diagnostic)")
#: columns that name a map of layers × cells, within which `similarity_map` corrects
MAP_COLUMNS = ("branch", "measure", "statistic", "over")
#: effect -> the strata whose difference it is
EFFECTS = {
    "emotion effect, same seed": (2, 4),
    "emotion effect, other seed": (3, 5),
    "prompt effect": (1, 3),
    "seed effect": (2, 3),
}
#: the same for labels that are ratings: −r of the cosine of two prompts with the distance of their ratings
CORRELATIONS = {"rating correlation, same seed": (2, 4), "rating correlation, other seed": (3, 5)}
#: the effects of which labels, not prompts or seeds, are the cause, and which a permutation can test
TESTED = ("emotion effect, same seed", "emotion effect, other seed", *CORRELATIONS)
# Weights of pairs [permutations, pairs] are made in pieces of at most this many numbers.
_PIECE = 2**24
# Steps of activations are compared in blocks of about this many numbers, to stay in cache.
_BLOCK = 2**18

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerSimilarity:
    """What `layer_similarity` returns.

    Attributes
    ----------
    table : long, one row per branch, measure, statistic and step or window; common columns.
    null : null maxima of each tested family, for `similarity_map`.
    arrays, coords : `matrices` [measure, branch, window, sample, sample_2], as `GramFile.write` takes them.
    """

    table: pd.DataFrame
    null: pd.DataFrame
    arrays: Arrays
    coords: Coords


def cosine_similarity(
    x: Any, y: Any = None, branch: str = "cond", center: bool | np.ndarray = True
) -> np.ndarray:
    """Cosine similarity, step by step, of two sets of activations.

    Parameters
    ----------
    x, y : [S, C, B, D] activations of one layer as `ActivationExtractor.get_activations` returns
        them (torch tensors or arrays), of equal S, C, D. Without y, x is compared with itself.
    branch : ``"cond"``, ``"uncond"``, or ``"delta"`` (cond − uncond).
    center : True subtracts at each step the mean over the samples of x and y together; an array
        [S, D] (of the same branch) is subtracted instead, a mean over a larger study, say; False
        gives the raw cosine, which is near 1 for any two inputs: a diagnostic, not a similarity.

    Returns
    -------
    [S, Bx, By] in −1 … 1; NaN where a state equals the mean. float64 where x is, else float32;
    steps are worked through in blocks, so that memory is the result's and a block's.

    Raises
    ------
    InputError: shapes that do not fit, an unknown branch, or a mean over fewer than three samples
    (two centred samples have cosine −1 whatever they are).

    Examples
    --------
    >>> happy, sad = np.random.default_rng(0).normal(size=(2, 5, 2, 3, 8))
    >>> cosine_similarity(happy, sad, branch="uncond").shape
    (5, 3, 3)
    """
    x = _array(x)
    y = x if y is None else _array(y)
    if x.shape[0] != y.shape[0] or x.shape[-1] != y.shape[-1]:
        raise InputError(
            f"x has {x.shape[0]} steps × {x.shape[-1]} dimensions, y {y.shape[0]} × "
            f"{y.shape[-1]}: compare one layer of clips of one duration"
        )
    result = np.empty((len(x), x.shape[2], y.shape[2]), x.dtype if x.dtype == float else np.float32)
    size = max(1, _BLOCK // (x.shape[2] * x.shape[3]))
    for start in range(0, len(x), size):
        steps = slice(start, start + size)
        mean = center[steps] if isinstance(center, np.ndarray) else center
        first = _branch(x[steps], branch, result.dtype)
        second = first if y is x else _branch(y[steps], branch, result.dtype)
        result[steps] = _cosines_of_block(first, second, mean)
    return result


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
    values = np.asarray(activations)
    if values.ndim != 4:
        raise InputError(
            f"activations have shape {values.shape}; expected [steps, branches, samples, d_model]"
        )
    return values


def _branch(values: np.ndarray, branch: str, dtype: np.dtype) -> np.ndarray:
    names = ("cond", "uncond")[: values.shape[1]]
    if branch == "delta" and len(names) == 2:
        return values[:, 0].astype(dtype) - values[:, 1].astype(dtype)
    if branch not in names or values.shape[1] > 2:
        raise InputError(
            f"branch={branch!r} is not in activations with {values.shape[1]} branches; "
            "they are cond, uncond, and delta where there are both"
        )
    return values[:, names.index(branch)].astype(dtype)


def _unit(values: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.divide(values, length, out=np.full_like(values, np.nan), where=length > 0)


def debiased_cka(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    """Linear CKA with the unbiased HSIC estimator (Song et al. 2012, eq. 5; Murphy et al. 2024).

    Parameters
    ----------
    gram_x, gram_y : (N, N) Gram matrices of the same N ≥ 4 samples, in the same order, centred or not.

    Returns
    -------
    1 for representations equal up to rotation, shift and scale; 0 in expectation for independent
    ones (may be slightly negative); NaN if either varies no more than chance.

    Raises
    ------
    InputError: fewer than 4 samples, or shapes that differ.
    """
    x, y = np.asarray(gram_x, float), np.asarray(gram_y, float)
    if x.shape != y.shape or x.ndim != 2 or x.shape[0] != x.shape[1]:
        raise InputError(
            f"Gram matrices of shapes {x.shape} and {y.shape}: both must be (N, N) of the same samples"
        )
    if len(x) < 4:
        raise InputError(f"debiased CKA of {len(x)} samples: its estimator needs at least 4")
    own = _unbiased_hsic(x, x) * _unbiased_hsic(y, y)
    return _unbiased_hsic(x, y) / float(np.sqrt(own)) if own > 0 else float("nan")


def _unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    n = len(x)
    x, y = x - np.diag(np.diag(x)), y - np.diag(np.diag(y))
    sums = x.sum() * y.sum() / ((n - 1) * (n - 2))
    return float((x * y).sum() + sums - 2 / (n - 2) * (x.sum(axis=0) @ y.sum(axis=1))) / (n * (n - 3))


def layer_similarity(
    gram: GramSource,
    design: Design,
    *,
    model: str,
    layer: int,
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
) -> LayerSimilarity:
    """Compute one layer's cosine matrices, strata curves and tested effects.

    Parameters
    ----------
    gram : an open `GramFile` of `design`'s samples, in its order.
    design : labels, permutations, bootstraps.
    model, layer : for the table's columns.
    n_permutations, n_bootstraps : rows of the design's tables to use.

    Returns
    -------
    See `LayerSimilarity`. Rows of the table: the mean cosine of each stratum, and the effects in
    `EFFECTS`, each with a 95 % percentile interval over bootstraps of templates (or prompts), then
    seeds. Where the label is a rating, the strata are those of the emotions, and in place of the emotion
    effects stand `CORRELATIONS` of cosines with distances between ratings, over the same pairs (the
    statistic of Mantel 1967): positive where prompts of near ratings are alike.

    A resample of few templates or seeds may hold no pair of a stratum. Where more than 5 % of
    them do, the others would speak for the design as if it were larger, so the interval is NaN and
    `interval` says why; fewer are dropped. Emotion effects and correlations are tested, one-sided, by
    permuting labels within templates; `p_corrected` is max-T over the steps (or windows) of this layer
    and branch until `similarity_map` replaces it by max-T over layers too. Pads are left out. Cells
    without variance (`deterministic`) and those without pairs are NaN with the reason in `null`.

    Raises
    ------
    InputError: the Gram file holds other samples than the design, or in another order.
    """
    design.check_order(gram.coords("sample"))
    pairs = _Pairs(design, n_permutations, n_bootstraps)
    steps = np.flatnonzero(gram.read("complete"))
    cells = analysed_cells(gram)
    frames, nulls, matrices = [], [], []
    for measure in MEASURES:
        matrices.append([])
        for number, branch in enumerate(str(name) for name in gram.coords("branch")):
            by_step, by_window = _cosines(gram, measure, number)
            matrices[-1].append(by_window)
            values = np.concatenate([by_step[steps], by_window])  # [cells, N, N]
            table, maxima = pairs.summary(values, cells, tests=measure in MEASURES[:2])
            frames.append(table.assign(branch=branch, measure=measure))
            nulls += [({"branch": branch, "measure": measure} | name, null_max) for name, null_max in maxima]
    if design.why_not(n_permutations):
        log.warning("similarity, layer %s: estimates without p: %s", layer, design.why_not(n_permutations))
    table = pd.concat(frames, ignore_index=True).assign(model=model, layer=layer)
    # Six decimals of a cosine; more would only make the table twice as long to write.
    table[["estimate", "ci_lo", "ci_hi"]] = table[["estimate", "ci_lo", "ci_hi"]].round(6)
    axes = ("measure", "branch", "window", "sample", "sample_2")
    coords = {name: np.asarray(gram.coords(name)) for name in axes[1:]} | {"measure": np.array(MEASURES)}
    return LayerSimilarity(
        table.reindex(columns=_COLUMNS),
        null_table(nulls, design.permutation_hash(n_permutations), list(MAP_COLUMNS), n_permutations),
        {"matrices": (axes, np.array(matrices, np.float32))},
        coords,
    )


_COLUMNS = pd.Index(
    [
        *("model", "layer", "branch", "over", "step", "seconds", "window", "measure", "statistic"),
        *("estimate", "ci_lo", "ci_hi", "interval", "p", "p_corrected", "score"),
        *("n_prompts", "n_perm", "min_p", "null", "family"),
    ]
)


def similarity_map(tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all layers and correct `p_corrected` over layers × steps (or windows).

    Parameters
    ----------
    tables, nulls : of each layer, from `LayerSimilarity`.
    """
    return correct_over_cells(tables, nulls, MAP_COLUMNS)


def _cosines(gram: GramSource, measure: str, branch: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine matrices of one branch, by step [S, N, N] and by window [W, N, N]."""
    if measure == "standardised":
        by_step = gram.read("standardised", branch=branch)
        by_window = gram.read("window_standardised", branch=branch)
    elif measure == "centred":
        by_step = cosine(gram.read("gram", branch=branch))
        by_window = cosine(gram.read("window_gram", branch=branch))
    else:
        pieces = (gram.read(name, branch=branch) for name in ("gram", "mean_product", "mean_norm"))
        by_step = cosine(raw_gram(*pieces))
        means = gram.read("window_mean", branch=branch)  # [W, N, D]
        by_window = cosine(means @ means.swapaxes(-1, -2))
    if measure != "raw (diagnostic)":
        by_step = np.where(gram.read("deterministic", branch=branch)[:, None, None], np.nan, by_step)
    return by_step, by_window


class _Pairs:
    """The pairs of samples in each stratum, and their weights under resampling and relabeling."""

    def __init__(self, design: Design, n_permutations: int, n_bootstraps: int) -> None:
        self.design = design
        strata = np.triu(design.strata())
        self.members = {k: np.nonzero(strata == k) for k in STRATA}
        self.bootstraps = design.bootstraps(n_bootstraps)
        codes = np.unique(design.labels, return_inverse=True)[1]
        values = design.targets[design.prompt_of, 0] if design.numeric else codes
        self.observed = values  # [N]
        self.labels = values[design.permutations(n_permutations)]  # [m, N]
        self.n_permutations = n_permutations

    def summary(
        self, matrices: np.ndarray, cells: pd.DataFrame, *, tests: bool
    ) -> tuple[pd.DataFrame, list[tuple[dict[str, str], np.ndarray]]]:
        """Summarise cosine matrices [cells, N, N]: strata always, effects and tests if `tests`."""
        values = {k: matrices[:, i, j].T for k, (i, j) in self.members.items()}  # [pairs, cells]
        means = {k: _mean(pairs) for k, pairs in values.items()}
        boots = {k: self._bootstrap(k, pairs) for k, pairs in values.items()}  # [m, cells]
        rows, maxima = [], []
        for k, name in STRATA.items():
            rows.append(self._row(cells, name, (k,), means[k], boots[k]))
        for name, (a, b) in EFFECTS.items() if tests else ():
            if self.design.numeric and name in TESTED:
                continue
            row = self._row(cells, name, (a, b), means[a] - means[b], boots[a] - boots[b])
            if name in TESTED:
                maxima += self._test(row, self._null(values[a], values[b], a, b), cells)
            rows.append(row)
        for name, (a, b) in CORRELATIONS.items() if tests and self.design.numeric else ():
            estimate, null, resampled = self._correlation(np.concatenate([values[a], values[b]]), a, b)
            row = self._row(cells, name, (a, b), estimate, resampled)
            maxima += self._test(row, null, cells)
            rows.append(row)
        return pd.concat(rows, ignore_index=True), maxima

    def _row(
        self, cells: pd.DataFrame, name: str, strata: tuple[int, ...], estimate: np.ndarray, boots: np.ndarray
    ) -> pd.DataFrame:
        low, high, interval = percentile_interval(estimate, boots, self.design.resampled)
        why = np.where(np.isfinite(estimate), "an estimate, not tested", self._why_nan(strata))
        return cells.assign(
            statistic=name,
            estimate=estimate,
            ci_lo=low,
            ci_hi=high,
            interval=interval,
            p=np.nan,
            p_corrected=np.nan,
            score=np.nan,
            n_prompts=self.design.n_prompts,
            n_perm=0,
            min_p=np.nan,
            null=[f"none: {one}" for one in why],
            family="",
        )

    def _why_nan(self, strata: tuple[int, ...]) -> str:
        """Say why an estimate from these strata is NaN."""
        empty = [STRATA[k] for k in strata if not len(self.members[k][0])]
        if self.design.numeric and strata in CORRELATIONS.values():
            return f"no pairs of prompts that differ in {self.design.label}, or all samples are equal"
        return f"no two samples are {empty[0]!r}" if empty else "all samples are equal (deterministic)"

    def _test(
        self, row: pd.DataFrame, null: np.ndarray, cells: pd.DataFrame
    ) -> list[tuple[dict[str, str], np.ndarray]]:
        """Fill in the p-values of an emotion effect; return the null maxima of its families."""
        m = self.n_permutations
        untested = self.design.why_not(m) or "under some relabelings no two prompts are alike, or all are"
        estimate, maxima = row["estimate"].to_numpy(), []
        why_not = [
            untested if np.isfinite(value) else text.removeprefix("none: ")
            for value, text in zip(estimate, row["null"], strict=True)
        ]
        for over in ("steps", "windows"):
            mine = np.flatnonzero(cells["over"] == over)
            result = self.design.test(estimate[mine], null[:, mine])
            record(
                row,
                mine,
                result,
                min_p=self.design.smallest_p(m),
                null=self.design.null_text(m, f"{self.design.label}s"),
                family=f"{over} of this layer and branch",
                why_not=[why_not[i] for i in mine],
            )
            if np.isfinite(result.p).any():
                maxima.append(({"statistic": row["statistic"].iloc[0], "over": over}, result.null_max))
        return maxima

    def _bootstrap(self, stratum: int, values: np.ndarray) -> np.ndarray:
        """Mean of a stratum's pairs [pairs, cells] in every bootstrap, [m, cells]."""
        i, j = self.members[stratum]
        means = np.full((len(self.bootstraps), values.shape[1]), np.nan, np.float32)
        for rows in _pieces(len(means), len(i)):
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
        for rows in _pieces(len(null), len(i)):
            null[rows] = -_unit(_centred(np.abs(self.labels[rows][:, i] - self.labels[rows][:, j]))) @ unit
        for rows in _pieces(len(boots), len(i)):
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
        # In float64, so that a relabeling that only renames ties with the observed effect.
        values = np.concatenate([same, other]).astype(float)  # [pairs, cells]
        i, j = np.concatenate([self.members[a], self.members[b]], axis=1)
        null = np.full((len(self.labels), values.shape[1]), np.nan)
        if not len(same) or not len(other) or not self.design.can_test:
            return null
        total = values.sum(axis=0)
        for rows in _pieces(len(self.labels), len(i)):
            alike = (self.labels[rows][:, i] == self.labels[rows][:, j]).astype(float)  # [m, pairs]
            n_alike = alike.sum(axis=1, keepdims=True)
            summed, n_other = alike @ values, len(i) - n_alike
            both = (n_alike * n_other)[:, 0] > 0
            null[rows][both] = summed[both] / n_alike[both] - (total - summed[both]) / n_other[both]
        return null


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=-1, keepdims=True)


def _mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=0, dtype=float) if len(values) else np.full(values.shape[1], np.nan)


def _pieces(n_rows: int, n_columns: int) -> Iterator[slice]:
    size = max(1, _PIECE // max(n_columns, 1))
    for start in range(0, n_rows, size):
        yield slice(start, start + size)

"""Which layers, and which moments of a clip, arrange the samples alike: debiased CKA and its noise ceiling.

CKA compares representations with each other, never emotions. Two layers at the same samples share the
noise of the sampling, because they read the same tokens. Do they share more? Prompt means over one half of
the seeds in one layer are compared with those over the other half in the other layer. The diagonal, a layer
against itself, is then the noise ceiling: the agreement that this number of seeds allows.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from innerear.analyses.similarity import cka_vectors
from innerear.gram.reading import GramSource
from innerear.gram.time_bins import bin_grams, bin_seconds
from innerear.statistics.design import Design
from innerear.statistics.finding import Finding
from innerear.statistics.resampling import shared_once
from innerear.statistics.significance import with_interval
from innerear.statistics.table import blank

SAME, ACROSS = "same samples", "across seed halves"
OVER_LAYERS, OVER_TIME = "layer × layer", "time × time"
#: the estimator divides by N − 3
SMALLEST = 4


def alignment(grams: Mapping[int, GramSource], design: Design, *, model: str) -> pd.DataFrame:
    """Compare all layers of a study with each other, and all time bins of each layer.

    Parameters
    ----------
    grams : layer → its open `GramFile`, with time bins, of `design`'s samples in its order.

    Returns
    -------
    Long table, one row per branch, statistic and pair with layer ≤ layer_2 or bin ≤ bin_2; common columns.
    `estimate` is debiased linear CKA (`similarity.debiased_cka`) of the Gram matrices of one time bin.
    ``layer × layer`` is its mean over bins, ``time × time`` is that of two bins of one layer. Each is given
    twice:

    - *same samples*: all N samples, noise included.
    - *across seed halves*: prompt means over half of the seeds in the one against those over the other half
      in the other, averaged over splits and both directions. `ceiling` is the geometric mean of the two
      cells' agreement with themselves; estimate ÷ ceiling is 1 for cells that arrange the prompts alike. It
      is the ceiling of half the seeds: more seeds raise it.

    Intervals resample templates (or prompts) and, for the same samples, seeds; the centring of the Gram
    matrices is kept as it was. Nothing is tested. Bins without variance are left out.

    Raises
    ------
    InputError: a Gram file holds other samples than the design, or in another order.
    """
    for gram in grams.values():
        design.check_order(gram.coords("sample"))
    first = next(iter(grams.values()))
    kinds, tables = _weights(design), []
    for branch in first.labels("branch"):
        # One branch of one layer's file is held at a time; its diagonal blocks are kept.
        sides = [_sides(bin_grams(gram, branch), design) for gram in grams.values()]
        for kind, (weights, resampled) in kinds.items():
            vectors = [np.stack(halves) for halves in zip(*(side[kind] for side in sides), strict=True)]
            table = _compare(vectors, weights, resampled, list(grams))
            why = np.where(table["estimate"].isna(), _why_nan(kind, design), "an estimate, not tested")
            null = [f"none: {one}" for one in why]
            tables.append(blank(table, design, model=model, branch=branch, samples=kind, null=null))
    table = pd.concat(tables, ignore_index=True)
    seconds = np.append(bin_seconds(first), np.float32(np.nan))
    for number, name in (("bin", "seconds"), ("bin_2", "seconds_2")):
        table[name] = seconds[table[number].fillna(-1).to_numpy(int)]
    table.loc[table["samples"] == SAME, "ceiling"] = np.nan
    return table.reindex(columns=_COLUMNS)


_COLUMNS = pd.Index(
    [
        *("model", "branch", "layer", "layer_2", "bin", "bin_2", "seconds", "seconds_2"),
        *("statistic", "samples", "estimate", "ci_lo", "ci_hi", "interval", "ceiling"),
        *("p", "p_corrected", "n_prompts", "n_perm", "min_p", "null"),
    ]
)


def seed_halves(n_seeds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split seeds 0 … R − 1 into halves, in R ÷ 2 ways (R where it is odd), each seed equally often.

    Examples
    --------
    >>> [(one.tolist(), other.tolist()) for one, other in seed_halves(4)]
    [([0, 1], [2, 3]), ([1, 2], [3, 0])]
    """
    half = n_seeds // 2
    rolled = [np.roll(np.arange(n_seeds), -k) for k in range(half if n_seeds % 2 == 0 else n_seeds)]
    return [(order[:half], order[half:]) for order in rolled] if half else []


def _why_nan(kind: str, design: Design) -> str:
    n = design.n_samples if kind == SAME else design.n_prompts
    if n < SMALLEST:
        return f"{n} {'samples' if kind == SAME else 'prompts'}: debiased CKA needs at least {SMALLEST}"
    if kind == ACROSS and len(design.seeds) < 2:
        return "one seed: there are no halves to compare"
    return "all samples are equal (deterministic)"


def _sides(bins: np.ndarray, design: Design) -> dict[str, tuple[np.ndarray, ...]]:
    """What is compared, of Gram matrices [bins, N, N]: vectors [bins, splits, pairs], of each half."""
    same = cka_vectors(bins)[:, None]  # one split: all samples
    splits = seed_halves(len(design.seeds))
    n_pairs = design.n_prompts * (design.n_prompts - 1) // 2
    halves = np.full((2, len(bins), max(len(splits), 1), n_pairs), np.nan)
    for number, split in enumerate(splits):
        for side, seeds in enumerate(split):
            rows = design.rows[:, seeds]  # [P, half of R]
            # [bins, P, half, P, half] -> [bins, P, P]
            means = bins[:, rows[:, :, None, None], rows[None, None]].mean(axis=(2, 4), dtype=float)
            halves[side, :, number] = cka_vectors(means)
    return {SAME: (same.astype(np.float32),), ACROSS: tuple(halves.astype(np.float32))}


def _weights(design: Design) -> dict[str, tuple[np.ndarray, str]]:
    """Weights [m, pairs] of pairs of samples and of prompts in every resample, and what is resampled."""
    bootstraps = design.bootstraps()
    of_samples = bootstraps.pairs(*np.triu_indices(design.n_samples, 1))
    unit_of = bootstraps.unit_of[design.rows[:, 0]]
    p, q = np.triu_indices(design.n_prompts, 1)
    of_prompts = shared_once(bootstraps.units, unit_of[p], unit_of[q])
    return {
        SAME: (of_samples, design.resampled),
        ACROSS: (of_prompts, design.resampled.removesuffix(", then seeds")),
    }


def _compare(sides: list[np.ndarray], weights: np.ndarray, resampled: str, layers: list[int]) -> pd.DataFrame:
    """Compare vectors [L, bins, splits, pairs], over layers and over bins; with two sides, across them."""
    by_layer = (len(layers), -1, sides[0].shape[-1])  # bins and splits are both averaged over
    table, (a, b) = _upper_triangle([side.reshape(by_layer) for side in sides], weights, resampled)
    numbers = np.array(layers)
    tables = [table.assign(statistic=OVER_LAYERS, layer=numbers[a], layer_2=numbers[b])]
    for number, layer in enumerate(layers):
        table, (a, b) = _upper_triangle([side[number] for side in sides], weights, resampled)
        tables.append(table.assign(statistic=OVER_TIME, layer=layer, layer_2=layer, bin=a, bin_2=b))
    return pd.concat(tables, ignore_index=True)


def _upper_triangle(
    sides: list[np.ndarray], weights: np.ndarray, resampled: str
) -> tuple[pd.DataFrame, tuple[np.ndarray, ...]]:
    """Compare n cells [n, repeats, pairs], averaged over repeats and directions: rows, each pair's cells."""
    n_cells = len(sides[0])
    places = np.triu_indices(n_cells)
    directions = [(sides[0], sides[-1]), (sides[-1], sides[0])][: len(sides)]
    estimate, boots = np.full((n_cells, n_cells), np.nan), np.full((len(weights), n_cells, n_cells), np.nan)
    energies = [((one**2) @ weights.T, (two**2) @ weights.T) for one, two in directions]  # [n, repeats, m]
    for a in range(n_cells):
        found = []
        for (one, two), (own, other) in zip(directions, energies, strict=True):
            products = one[a] * two[a:]  # [n − a, repeats, pairs]
            size = np.sqrt(own[a] * other[a:])
            resamples = np.divide(products @ weights.T, size, out=np.full_like(size, np.nan), where=size > 0)
            found.append(np.concatenate([products.sum(axis=-1, dtype=float)[..., None], resamples], axis=-1))
        means = _mean(np.stack(found, axis=1).reshape(n_cells - a, -1, 1 + len(weights)))  # [n − a, 1 + m]
        estimate[a, a:], boots[:, a, a:] = means[:, 0], means[:, 1:].T
    own = np.sqrt(np.maximum(np.diagonal(estimate), 0))
    measured = with_interval(estimate[places], boots[:, *places], resampled)
    return pd.DataFrame(measured | {"ceiling": own[places[0]] * own[places[1]]}), places


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over axis 1 of what is not NaN; NaN where all is."""
    n = np.isfinite(values).sum(axis=1)
    return np.divide(np.nansum(values, axis=1), n, out=np.full(n.shape, np.nan), where=n > 0)


FINDINGS = (
    Finding(
        "How similarly do two layers arrange the prompts across different seeds?",
        "Over pairs of layers of uncond, CKA {lowest} to {highest}; the noise ceiling of the middle pair "
        "is {ceiling:.2f}.",
        {"branch": "uncond", "statistic": OVER_LAYERS, "samples": ACROSS},
        "alignment_layers",
        tested=False,
        unit="CKA",
        meaning="debiased CKA of the middle pair of layers, 1 for equal arrangements; a layer with "
        "itself is the ceiling",
    ),
)

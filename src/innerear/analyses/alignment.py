"""Compare how layers, moments and branches arrange the prompts: debiased CKA and its noise ceiling.

CKA compares representations with each other, never emotions. Two layers at the same samples share the
noise of the sampling, because they read the same tokens. Do they share more? Prompt means over one half of
the seeds in one layer are compared with those over the other half in the other layer. A layer against itself
is then the noise ceiling, the agreement that this number of seeds allows, and nothing else: only different
layers, moments or branches are a finding, as estimate ÷ ceiling.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from innerear.gram.reading import GramSource
from innerear.gram.time_bins import bin_means, bin_seconds
from innerear.statistics.cka import cka_vectors
from innerear.statistics.design import Design
from innerear.statistics.design.resampling import shared_once
from innerear.statistics.finding import Finding
from innerear.statistics.significance import percentile_interval, with_interval
from innerear.statistics.table import blank

SAME, ACROSS = "same seeds", "across seed halves"
OVER_LAYERS, OVER_TIME, OVER_BRANCHES = "layer × layer", "time × time", "branch × branch"
#: what is compared with itself: the noise ceiling across seed halves, 1 for the same seeds
ITSELF = ", itself"
#: the estimator divides by P − 3
SMALLEST = 4


def alignment(grams: Mapping[int, GramSource], design: Design, *, model: str) -> pd.DataFrame:
    """Compare all layers of a study, all time bins of each layer, and all branches of each layer.

    Parameters
    ----------
    grams : layer → its open `GramFile`, with time bins, of `design`'s samples in its order.

    Returns
    -------
    Long table, one row per statistic and pair, with layer ≤ layer_2, bin ≤ bin_2, or branch before branch_2;
    common columns. `estimate` is debiased linear CKA (`cka.debiased_cka`) of prompts in one time bin.
    ``layer × layer`` is its mean over bins, ``time × time`` is that of two bins of one layer, ``branch ×
    branch`` that of two branches of one layer, over bins. Rows of a cell with itself bear `ITSELF` in their
    statistic. Each is given twice:

    - *same seeds*: of each seed's own prompts, averaged over seeds; noise included.
    - *across seed halves*: prompt means over half of the seeds in the one against those over the other half
      in the other, averaged over splits and both directions. `ceiling` is the geometric mean of the two
      cells' agreement with themselves, and `ratio` is estimate ÷ ceiling: 1 for cells that arrange the
      prompts alike. It is the ceiling of half the seeds: more seeds raise it.

    Intervals, of the estimate and of the ratio, resample templates (or prompts); the centring of the Gram
    matrices is kept as it was. Nothing is tested. Bins without variance are left out.

    Raises
    ------
    InputError: a Gram file holds other samples than the design, or in another order.
    """
    for gram in grams.values():
        design.check_order(gram.coords("sample"))
    first, layers = next(iter(grams.values())), np.array(list(grams))
    branches, weights = first.labels("branch"), _weights(design)
    tables = []
    for branch in branches:
        # One branch of one layer's file is held at a time; its diagonal blocks are kept.
        sides = [_sides(gram, branch, design) for gram in grams.values()]
        for kind, halves in _by_kind(sides):
            table, (a, b) = _compare(halves, weights, design)
            of_layers = table.assign(statistic=OVER_LAYERS, layer=layers[a], layer_2=layers[b])
            tables.append(of_layers.assign(branch=branch, branch_2=branch, samples=kind))
            for number, layer in enumerate(layers):
                table, (a, b) = _compare([half[number] for half in halves], weights, design)
                of_time = table.assign(statistic=OVER_TIME, layer=layer, layer_2=layer, bin=a, bin_2=b)
                tables.append(of_time.assign(branch=branch, branch_2=branch, samples=kind))
    for layer, gram in grams.items():
        sides = [_sides(gram, branch, design) for branch in branches]
        for kind, halves in _by_kind(sides):
            table, (a, b) = _compare(halves, weights, design)
            names = {"branch": np.array(branches)[a], "branch_2": np.array(branches)[b]}
            of_branches = table.assign(statistic=OVER_BRANCHES, layer=layer, layer_2=layer, samples=kind)
            tables.append(of_branches.assign(**names))
    return _finished(pd.concat(tables, ignore_index=True), bin_seconds(first), design, model)


def _finished(table: pd.DataFrame, seconds: np.ndarray, design: Design, model: str) -> pd.DataFrame:
    """Add the common columns, and why there is no test; say which rows compare a cell with itself."""
    kinds = table["samples"]
    why = np.where(table["estimate"].isna(), kinds.map(lambda kind: _why_nan(kind, design)), _NOT_TESTED)
    table = blank(table, design, model=model, null=[f"none: {one}" for one in why])
    seconds = np.append(seconds, np.float32(np.nan))
    for number, name in (("bin", "seconds"), ("bin_2", "seconds_2")):
        table[name] = seconds[table[number].fillna(-1).to_numpy(int)]
    for name in ("ceiling", "ratio", "ratio_lo", "ratio_hi"):
        table.loc[kinds == SAME, name] = np.nan
    own = [table[name].fillna(-1).eq(table[f"{name}_2"].fillna(-1)) for name in ("layer", "bin", "branch")]
    table.loc[own[0] & own[1] & own[2], "statistic"] += ITSELF
    return table.reindex(columns=_COLUMNS)


_COLUMNS = pd.Index(
    [
        *("model", "branch", "branch_2", "layer", "layer_2", "bin", "bin_2", "seconds", "seconds_2"),
        *("statistic", "samples", "estimate", "ci_lo", "ci_hi", "interval"),
        *("ceiling", "ratio", "ratio_lo", "ratio_hi"),
        *("p", "p_corrected", "n_prompts", "n_perm", "min_p", "null"),
    ]
)
_NOT_TESTED = "an estimate, not tested"


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
    if design.n_prompts < SMALLEST:
        return f"{design.n_prompts} prompts: debiased CKA needs at least {SMALLEST}"
    if kind == ACROSS and design.rows.shape[1] < 2:
        return "one seed: there are no halves to compare"
    return "all samples are equal (deterministic)"


def _sides(gram: GramSource, branch: str, design: Design) -> dict[str, tuple[np.ndarray, ...]]:
    """The sides of a comparison in a branch's time bins: vectors [bins, repeats, pairs] of each half.

    Repeats are the seeds, or the ways to split them; there is one half only for the same seeds.
    """
    bins, n_seeds = gram.read("bin_mean", branch=branch), design.rows.shape[1]

    def of_seeds(seeds: np.ndarray) -> np.ndarray:
        means = bin_means(bins, design.rows[:, seeds])  # [bins, P, D]
        return cka_vectors(means @ means.swapaxes(1, 2)).astype(np.float32)

    same = np.stack([of_seeds(np.array([seed])) for seed in range(n_seeds)], axis=1)
    splits = seed_halves(n_seeds)
    halves = [np.stack([of_seeds(split[side]) for split in splits], axis=1) for side in (0, 1) if splits]
    return {SAME: (same,), ACROSS: tuple(halves) or (np.full_like(same[:, :1], np.nan),) * 2}


def _by_kind(sides: Sequence[Mapping[str, tuple[np.ndarray, ...]]]) -> list[tuple[str, list[np.ndarray]]]:
    """Stack the vectors of some cells, by kind: its one or two halves, [cells, bins, repeats, pairs]."""
    return [
        (kind, [np.stack(half) for half in zip(*(one[kind] for one in sides), strict=True)])
        for kind in sides[0]
    ]


def _weights(design: Design) -> np.ndarray:
    """Weights, float32 [m, pairs], of pairs of prompts in every resample of templates or prompts."""
    bootstraps = design.bootstraps()
    unit_of = bootstraps.unit_of[design.rows[:, 0]]
    p, q = np.triu_indices(design.n_prompts, 1)
    return shared_once(bootstraps.units, unit_of[p], unit_of[q]).astype(np.float32)


def _compare(
    halves: Sequence[np.ndarray], weights: np.ndarray, design: Design
) -> tuple[pd.DataFrame, tuple[np.ndarray, ...]]:
    """Compare n cells [n, ..., pairs], averaged over all else and directions: rows, each pair's cells."""
    sides = [half.reshape(len(half), -1, half.shape[-1]) for half in halves]
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
    every = np.concatenate([estimate[None], boots])  # [1 + m, n, n]
    own = np.sqrt(np.maximum(np.diagonal(every, axis1=1, axis2=2), 0))
    ceiling, every = own[:, places[0]] * own[:, places[1]], every[:, *places]  # [1 + m, pairs]
    ratio = np.divide(every, ceiling, out=np.full_like(every, np.nan), where=ceiling > 0)
    resampled = design.resampled_units
    measured = with_interval(every[0], every[1:], resampled)
    low, high, _ = percentile_interval(ratio[0], ratio[1:], resampled)
    measured |= {"ceiling": ceiling[0], "ratio": ratio[0], "ratio_lo": low, "ratio_hi": high}
    return pd.DataFrame(measured), places


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over axis 1 of what is not NaN; NaN where all is."""
    n = np.isfinite(values).sum(axis=1)
    return np.divide(np.nansum(values, axis=1), n, out=np.full(n.shape, np.nan), where=n > 0)


FINDINGS = (
    Finding(
        "How similarly do two different layers arrange the prompts across different seeds?",
        "The median pair of layers of uncond ({layer} and {layer_2}) reaches {ratio:.0%} of its noise "
        "ceiling: {effect} ({range} over pairs), where 1 is the same arrangement without any noise.",
        {"branch": "uncond", "statistic": OVER_LAYERS, "samples": ACROSS},
        "alignment_layers",
        tested=False,
        unit="similarity",
        meaning="debiased CKA of the median pair; its ceiling is what either layer reaches with itself",
        absent="there is one layer",
        formula="debiased ⟨K, L⟩ ÷ √(⟨K, K⟩ ⟨L, L⟩), K and L the Gram matrices of prompts of two "
        "layers, from other seeds",
    ),
)

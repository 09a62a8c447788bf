"""Does a probe of one time read another, and a probe of one branch the other?

A code that stays gives a square of high values, one that changes a diagonal (King & Dehaene 2014).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.gram.reading import GramSource
from innerear.statistics.design import Design
from innerear.statistics.probes import Ranking, evidence, evidence_null, held_out_operators
from innerear.statistics.significance import correct_over, null_table, percentile_interval, record

EVIDENCE, AUC, CONCORDANCE = "probe evidence", "macro AUC", "concordance"
MAP_COLUMNS = ("branch", "statistic", "over")


@dataclass(frozen=True)
class LayerGeneralisation:
    """What `layer_generalisation` returns.

    Attributes
    ----------
    table : long, one row per branch (or pair of branches), statistic, `train` and `test` window.
    null : null maxima, for `generalisation_map`.
    """

    table: pd.DataFrame
    null: pd.DataFrame


@dataclass(frozen=True)
class _Cells:
    """Train and test windows of some cells, and what fits their probes.

    `fit` takes an order of the samples, whose measurements then stand in the places of the design's, and
    returns the held-out operators [cells, N, N].
    """

    branch: str
    over: str
    train: list[str]
    test: list[str]
    fit: Callable[[np.ndarray], np.ndarray]


def layer_generalisation(
    gram: GramSource,
    design: Design,
    *,
    model: str,
    layer: int,
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
) -> LayerGeneralisation:
    """Train probes in one time bin (or branch) of a layer and judge them in every other.

    Parameters
    ----------
    gram : an open `GramFile` of `design`'s samples, in its order, with time bins.
    design : labels, folds, permutations, bootstraps.
    model, layer : for the table's columns.
    n_permutations, n_bootstraps : rows of the design's tables to use.

    Returns
    -------
    See `LayerGeneralisation`. For each branch all pairs of time bins (`train`, `test`); and between cond
    and uncond, both ways, the same window in both. Probes are fitted on some templates and judged on
    another, also across time. Evidence is tested by relabeling within templates (without templates by the
    first 99 permutations, with folds and probes made anew), max-T over the cells
    of a branch and layer until `generalisation_map` takes in all layers; macro AUC (for ratings the
    concordance) is the same in familiar units and is not tested beside it.

    Raises
    ------
    InputError: another order of samples, or a Gram file without time bins.
    """
    design.check_order(gram.coords("sample"))
    if "bin_gram" not in gram:
        raise InputError("the Gram file has no time bins: set gram.bins to 2 or more")
    frames, nulls = [], []
    try:
        design.folds()
        cells = [*_over_time(gram, design), *_between_branches(gram, design)]
    except InputError as error:
        cells, reason = [], str(error)
        frames.append(pd.DataFrame({"statistic": [EVIDENCE], "null": [f"none: {reason}"], "n_perm": 0}))
    for some in cells:
        table, maxima = _judged(some, design, n_permutations, n_bootstraps)
        frames.append(table)
        nulls += maxima
    table = pd.concat(frames, ignore_index=True)
    table = table.assign(model=model, layer=layer, n_prompts=design.n_prompts).reindex(columns=_COLUMNS)
    estimates = ["estimate", "ci_lo", "ci_hi"]
    table[estimates] = table[estimates].astype(float).round(6)
    hash_of = design.permutation_hash(n_permutations)
    return LayerGeneralisation(table, null_table(nulls, hash_of, list(MAP_COLUMNS), n_permutations))


_COLUMNS = pd.Index(
    [
        *("model", "layer", "branch", "over", "train", "test", "statistic", "estimate", "ci_lo", "ci_hi"),
        *("interval", "p", "p_corrected", "score", "n_prompts", "n_perm", "min_p", "null", "family"),
    ]
)


def generalisation_map(tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all layers and correct `p_corrected` over layers × cells.

    Parameters
    ----------
    tables, nulls : of each layer, from `LayerGeneralisation`.
    """
    return correct_over(tables, nulls, MAP_COLUMNS, "layers × windows of a branch")


def _over_time(gram: GramSource, design: Design) -> list[_Cells]:
    """Cells of all pairs of time bins, one set per branch."""
    n, found = design.n_samples, []
    for number, branch in enumerate(str(name) for name in gram.coords("branch")):
        products = gram.read("bin_gram", branch=number)
        n_bins = len(products) // n
        products = products.reshape(n, n_bins, n, n_bins)
        names = [f"bin_{b}" for b in range(n_bins)]
        trained = [name for name in names for _ in names]
        found.append(_Cells(branch, "bins", trained, names * n_bins, partial(_fit_bins, products, design)))
    return found


def _fit_bins(products: np.ndarray, design: Design, order: np.ndarray) -> np.ndarray:
    """Operators [bins * bins, N, N], training bin by training bin, of products [N, bins, N, bins]."""
    products, operators = products[order][:, :, order], []
    for t in range(products.shape[1]):
        across = products[:, :, :, t].transpose(1, 0, 2)[None]  # [1, bins, N, N]
        operators.append(held_out_operators(products[:, t, :, t][None], design, across)[0])
    return np.concatenate(operators)


def _between_branches(gram: GramSource, design: Design) -> list[_Cells]:
    """Cells of probes trained in one of cond and uncond and judged in the other, per window."""
    branches = [str(name) for name in gram.coords("branch")]
    if not {"cond", "uncond"} <= set(branches):
        return []
    windows = [str(name) for name in gram.coords("window")]
    means = gram.read("window_mean").astype(float)  # [C, W, N, D]
    means -= means.mean(axis=2, keepdims=True)
    found = []
    for source, target in (("cond", "uncond"), ("uncond", "cond")):
        x, y = means[branches.index(source)], means[branches.index(target)]
        fit = partial(_fit_branches, x @ x.swapaxes(1, 2), y @ x.swapaxes(1, 2), design)
        found.append(_Cells(f"{source} → {target}", "windows", windows, windows, fit))
    return found


def _fit_branches(kernel: np.ndarray, across: np.ndarray, design: Design, order: np.ndarray) -> np.ndarray:
    """Operators [windows, N, N] of kernels [windows, N, N], judged on those `across` branches."""
    places = (slice(None), order[:, None], order)
    return held_out_operators(kernel[places], design, across[places])


def _judged(
    cells: _Cells, design: Design, m: int, n_bootstraps: int
) -> tuple[pd.DataFrame, list[tuple[dict[str, str], np.ndarray]]]:
    """Table evidence, tested, and AUC of some cells; return the null maxima too."""
    boots = design.bootstraps(n_bootstraps)
    operators, counts = cells.fit(np.arange(design.n_samples)), boots.samples()
    spoken, targets = evidence(operators, design), design.targets[design.prompt_of]
    scores = (operators @ targets).swapaxes(0, 1)  # [N, cells, Q]
    ranking = Ranking(design)
    measured = {
        EVIDENCE: (spoken.mean(axis=1), counts @ spoken.T / counts.sum(axis=1, keepdims=True)),
        CONCORDANCE if design.numeric else AUC: (
            ranking.share(scores, targets[:, None]),
            ranking.bootstrap(scores, targets, boots),
        ),
    }
    frames, maxima = [], []
    for name, (estimate, resampled) in measured.items():
        low, high, interval = percentile_interval(estimate, resampled, design.resampled)
        table = pd.DataFrame(
            {
                **{"branch": cells.branch, "over": cells.over, "train": cells.train, "test": cells.test},
                **{"statistic": name, "estimate": estimate, "ci_lo": low, "ci_hi": high},
                **{"interval": interval, "p": np.nan, "p_corrected": np.nan, "score": np.nan},
                **{"n_perm": 0, "min_p": np.nan, "null": "none: see the probe evidence", "family": ""},
            }
        )
        frames.append(table)
    if design.blocked:
        null = evidence_null(operators, design, m)
    else:
        anew = [evidence(cells.fit(order), design).mean(axis=1) for order in design.exchanges(m)]
        null = np.array(anew).reshape(-1, len(spoken))
    result, used = design.test(measured[EVIDENCE][0], null), len(null)
    record(
        frames[0],
        np.arange(len(spoken)),
        result,
        min_p=design.smallest_p(used),
        null=design.null_text(m, f"{design.label}s", used),
        family=f"{cells.over} of this layer and branch",
        why_not=[design.why_not(m)] * len(spoken),
    )
    if np.isfinite(result.p).any():
        maxima.append(({"branch": cells.branch, "statistic": EVIDENCE, "over": cells.over}, result.null_max))
    return pd.concat(frames, ignore_index=True), maxima

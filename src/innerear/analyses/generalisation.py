"""Does a probe fitted at one time work at another, and a probe of one branch in the other?

A stable code gives a square of high values, a changing one a diagonal (King & Dehaene 2014).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from innerear.analyses.discriminability import AUC, CONCORDANCE, EVIDENCE
from innerear.errors import InputError
from innerear.gram.reading import GramSource
from innerear.gram.time_bins import bin_gram
from innerear.statistics.cells import estimates, rounded
from innerear.statistics.design import Design
from innerear.statistics.finding import Finding
from innerear.statistics.probes import (
    Ranking,
    evidence,
    evidence_bootstrap,
    evidence_null,
    held_out_operators,
)
from innerear.statistics.table import INTERVAL, LayerResult, Maxima, blank, columns, record

MAP_COLUMNS = ("branch", "statistic", "over")
FAMILY = "layers × windows of a branch"
BINS, WINDOWS = "bins", "windows"
#: the branch that probes are fitted in, and the one that they are judged in
TRANSFERS = (("cond", "uncond"), ("uncond", "cond"))


@dataclass(frozen=True)
class _Cells:
    """Windows of some cells; `fit` returns held-out operators [cells, N, N] of samples in a given order."""

    branch: str
    over: str
    train: list[str]
    test: list[str]
    fit: Callable[[np.ndarray], np.ndarray]


def of_layer(gram: GramSource, design: Design) -> LayerResult:
    """Train probes in one time bin (or branch) of a layer and judge them in every other.

    For each branch one row per pair of time bins (`train`, `test`) and statistic; and between cond and
    uncond, both ways, one row per window. Probes are fitted on some templates and judged on another, also
    across time. Evidence is tested by relabeling within templates (without templates by the first 99
    permutations, with folds and probes made anew), max-T over the cells of a branch and layer. Macro AUC
    (for ratings the concordance) is the same in familiar units, and not tested.

    Raises
    ------
    InputError: a Gram file without time bins.
    """
    if "bin_mean" not in gram:
        raise InputError("the Gram file has no time bins: set gram.bins to 2 or more")
    if design.why_no_folds:
        return LayerResult(blank({"statistic": [EVIDENCE]}, design, null=f"none: {design.why_no_folds}"))
    frames, maxima = [], []
    for some in [*_over_time(gram, design), *_between_branches(gram, design)]:
        table, tested = _judged(some, design)
        frames.append(table)
        maxima += tested
    return LayerResult(rounded(frames), maxima=maxima)


COLUMNS = columns("branch", "over", "train", "test", "statistic", *INTERVAL, "interval")


def _over_time(gram: GramSource, design: Design) -> list[_Cells]:
    """Cells of all pairs of time bins, one set per branch."""
    n, found = design.n_samples, []
    for branch in gram.labels("branch"):
        products = bin_gram(gram, branch)
        n_bins = len(products) // n
        products = products.reshape(n, n_bins, n, n_bins)
        names = [f"bin_{b}" for b in range(n_bins)]
        trained = [name for name in names for _ in names]
        found.append(_Cells(branch, BINS, trained, names * n_bins, partial(_fit_bins, products, design)))
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
    if not {"cond", "uncond"} <= set(gram.labels("branch")):
        return []
    windows, means = gram.labels("window"), {}
    for branch in ("cond", "uncond"):
        mean = gram.read("window_mean", branch=branch).astype(float)  # [W, N, D]
        means[branch] = mean - mean.mean(axis=1, keepdims=True)
    found = []
    for source, target in TRANSFERS:
        x, y = means[source], means[target]
        fit = partial(_fit_branches, x @ x.swapaxes(1, 2), y @ x.swapaxes(1, 2), design)
        found.append(_Cells(f"{source} → {target}", WINDOWS, windows, windows, fit))
    return found


def _fit_branches(kernel: np.ndarray, across: np.ndarray, design: Design, order: np.ndarray) -> np.ndarray:
    """Operators [windows, N, N] of kernels [windows, N, N], judged on those `across` branches."""
    places = (slice(None), order[:, None], order)
    return held_out_operators(kernel[places], design, across[places])


def _judged(cells: _Cells, design: Design) -> tuple[pd.DataFrame, list[Maxima]]:
    """Table evidence, tested, and AUC of some cells; return the null maxima too."""
    boots, ranking = design.bootstraps(), Ranking(design)
    operators = cells.fit(np.arange(design.n_samples))
    own, targets = evidence(operators, design), design.targets[design.prompt_of]
    scores = (operators @ targets).swapaxes(0, 1)  # [N, cells, Q]
    where = pd.DataFrame({"train": cells.train, "test": cells.test})
    common = {"branch": cells.branch, "over": cells.over, "null": "none: see the probe evidence"}
    mean = own.mean(axis=1)
    table = estimates(where, design, mean, evidence_bootstrap(own, boots), statistic=EVIDENCE, **common)
    ranked, resampled = ranking.share(scores, targets[:, None]), ranking.bootstrap(scores, targets, boots)
    name = CONCORDANCE if design.numeric else AUC
    familiar = estimates(where, design, ranked, resampled, statistic=name, **common)
    if design.blocked:
        null = evidence_null(operators, design)
    else:
        anew = [evidence(cells.fit(order), design).mean(axis=1) for order in design.exchanges()]
        null = np.array(anew).reshape(-1, len(own))
    family = f"{cells.over} of this layer and branch"
    maxima = record(table, np.arange(len(own)), design, mean, null, family=family)
    return pd.concat([table, familiar], ignore_index=True), maxima


FINDINGS = (
    Finding(
        "Do probes of {contrast} that were fitted in one branch work in the other?",
        "Yes: most clearly {branch} (fitted → judged) in layer {layer}, over the whole clip.",
        {"statistic": EVIDENCE, "over": WINDOWS, "train": "whole"},
        "transfer",
    ),
)

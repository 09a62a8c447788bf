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
from innerear.gram.time_bins import bin_means, bin_seconds
from innerear.statistics.cells import estimates, rounded
from innerear.statistics.design import Design
from innerear.statistics.design.template_contrasts import label_contrasts
from innerear.statistics.finding import Finding
from innerear.statistics.ridge.probes import (
    Ranking,
    evidence,
    evidence_bootstrap,
    evidence_null,
    held_out_operators,
)
from innerear.statistics.table import INTERVAL, LayerResult, Maxima, blank, columns, record, record_flips

MAP_COLUMNS = ("branch", "statistic", "over")
FAMILY = "layers × windows of a branch"
BINS, WINDOWS = "bins", "windows"
#: the branch that probes are fitted in, and the one that they are judged in
TRANSFERS = (("cond", "uncond"), ("uncond", "cond"))


@dataclass(frozen=True)
class _Cells:
    """Windows of some cells; `fit` returns held-out operators [cells, P, P] of prompts in a given order.

    `agreement` [cells, T, T]: a template's contrasts between labels at one time, with another's at the other.
    """

    branch: str
    over: str
    train: list[str]
    test: list[str]
    fit: Callable[[np.ndarray], np.ndarray]
    agreement: np.ndarray


def of_layer(gram: GramSource, design: Design) -> LayerResult:
    """Train probes in one time bin (or branch) of a layer and judge them in every other.

    For each branch one row per pair of time bins (`train`, `test`; `train_seconds`, `test_seconds` are their
    middles) and statistic; and between cond and
    uncond, both ways, one row per window. Probes of prompt means are fitted on some templates and judged on
    another, also across time. Evidence is tested by relabeling within templates (without templates by the
    first 99 permutations, with folds and probes made anew), max-T over the cells of a branch and layer.
    `p_flip` asks the same without probes, which share training templates: do templates agree on the contrasts
    between labels, one template's at the first time with another's at the second? Macro AUC (for ratings the
    concordance) is the same in familiar units, and not tested. Intervals resample templates (or prompts).

    Raises
    ------
    InputError: a Gram file without time bins.
    """
    if "bin_mean" not in gram:
        raise InputError("the Gram file has no time bins: set gram.bins to 2 or more")
    if design.why_no_folds:
        return LayerResult(blank({"statistic": [EVIDENCE]}, design, null=f"none: {design.why_no_folds}"))
    frames, maxima, of_prompts = [], [], design.of_prompts()
    for some in [*_over_time(gram, design), *_between_branches(gram, design)]:
        table, tested = _judged(some, of_prompts)
        frames.append(table)
        maxima += tested
    table, seconds = rounded(frames), bin_seconds(gram).round(6)
    of_bin = {f"bin_{b}": second for b, second in enumerate(seconds.tolist())}
    for side in ("train", "test"):
        table[f"{side}_seconds"] = [of_bin.get(name, np.nan) for name in table[side]]
    return LayerResult(table, maxima=maxima)


COLUMNS = columns(
    *("branch", "over", "train", "test", "train_seconds", "test_seconds", "statistic", *INTERVAL, "interval")
)


def _over_time(gram: GramSource, design: Design) -> list[_Cells]:
    """Cells of all pairs of time bins, one set per branch."""
    found, means = [], design.of_prompts()
    for branch in gram.labels("branch"):
        bins = bin_means(gram.read("bin_mean", branch=branch), design.rows).swapaxes(0, 1)  # [P, bins, D]
        flat, n_bins = bins.reshape(-1, bins.shape[-1]), bins.shape[1]
        products = (flat @ flat.T).reshape(*bins.shape[:2], *bins.shape[:2])  # [P, bins, P, bins]
        names = [f"bin_{b}" for b in range(n_bins)]
        trained = [name for name in names for _ in names]
        agreement = _agreement(products.transpose(1, 3, 0, 2), design).reshape(
            n_bins**2, *[design.n_blocks] * 2
        )
        fit = partial(_fit_bins, products, means)
        found.append(_Cells(branch, BINS, trained, names * n_bins, fit, agreement))
    return found


def _agreement(products: np.ndarray, design: Design) -> np.ndarray:
    """Multiply templates' contrasts between labels, [..., T, T], of products [n, n, P, P] at n times.

    In units of the prompts' variance at the two times, so that all times are on one scale.
    """
    contrasts = label_contrasts(design).swapaxes(0, 1)  # [Q, T, P]
    found = sum(one @ products @ one.T for one in contrasts)
    size = np.sqrt(np.maximum(np.einsum("aapp->a", products), 0))
    size = (size[:, None] * size)[..., None, None] / design.n_prompts
    return np.divide(found, size, out=np.full_like(found, np.nan), where=size > 0)


def _fit_bins(products: np.ndarray, means: Design, order: np.ndarray) -> np.ndarray:
    """Operators [bins * bins, P, P], training bin by training bin, of products [P, bins, P, bins]."""
    products, operators = products[order][:, :, order], []
    for t in range(products.shape[1]):
        across = products[:, :, :, t].transpose(1, 0, 2)[None]  # [1, bins, P, P]
        operators.append(held_out_operators(products[:, t, :, t][None], means, across)[0])
    return np.concatenate(operators)


def _between_branches(gram: GramSource, design: Design) -> list[_Cells]:
    """Cells of probes trained in one of cond and uncond and judged in the other, per window."""
    if not {"cond", "uncond"} <= set(gram.labels("branch")):
        return []
    windows, of_branch = gram.labels("window"), {}
    for branch in ("cond", "uncond"):
        mean = gram.read("window_mean", branch=branch).astype(float)[:, design.rows].mean(axis=2)  # [W, P, D]
        of_branch[branch] = mean - mean.mean(axis=1, keepdims=True)
    found = []
    for source, target in TRANSFERS:
        x, y = of_branch[source], of_branch[target]
        fit = partial(_fit_branches, x @ x.swapaxes(1, 2), y @ x.swapaxes(1, 2), design.of_prompts())
        both = [np.stack(pair) for pair in zip(x, y, strict=True)]  # [2, P, D] a window
        agreement = [_agreement(one[:, None] @ one[None].swapaxes(2, 3), design)[0, 1] for one in both]
        found.append(_Cells(f"{source} → {target}", WINDOWS, windows, windows, fit, np.stack(agreement)))
    return found


def _fit_branches(kernel: np.ndarray, across: np.ndarray, means: Design, order: np.ndarray) -> np.ndarray:
    """Operators [windows, P, P] of kernels [windows, P, P], judged on those `across` branches."""
    places = (slice(None), order[:, None], order)
    return held_out_operators(kernel[places], means, across[places])


def _judged(cells: _Cells, design: Design) -> tuple[pd.DataFrame, list[Maxima]]:
    """Table evidence, tested, and AUC of some cells; `design` is of prompt means. Return null maxima too."""
    boots, ranking = design.bootstraps(), Ranking(design)
    operators = cells.fit(np.arange(design.n_samples))
    own, targets = evidence(operators, design), design.targets[design.prompt_of]
    scores = (operators @ targets).swapaxes(0, 1)  # [P, cells, Q]
    where = pd.DataFrame({"train": cells.train, "test": cells.test})
    common = {"branch": cells.branch, "over": cells.over, "null": "none: see the probe evidence"}
    common["resampled"] = design.resampled_units
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
    maxima += record_flips(table, np.arange(len(own)), design, cells.agreement, standardise=False)
    return pd.concat([table, familiar], ignore_index=True), maxima


FINDINGS = (
    Finding(
        "Do probes of {contrast} that were fitted in one branch work in the other?",
        "Yes, at {n_found} of {n_layers} layers: {effect} on held-out templates, over the whole clip, "
        "{branch} in layer {layer} ({range} over layers and directions).",
        {"statistic": EVIDENCE, "over": WINDOWS, "train": "whole"},
        "transfer",
        unit="evidence",
        choices=("branch",),
        meaning="evidence of a probe that was fitted in the other branch, as a share of a perfect one's; 0 "
        "without an effect",
        formula="mean of (ŷ · y) of held-out templates, y the label's indicator less the labels' mean, "
        "ŷ the probe's scores, ÷ the mean of y · y",
    ),
)

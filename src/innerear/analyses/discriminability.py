"""Where and when a layer tells labels apart: layer × step × branch, from the Gram file alone.

Three views of one question. The cross-validated squared distance has a true zero and leads; PERMANOVA ω²
says how much variance labels explain, beside a test of dispersion; held-out probes say how well a label
can be read. Distances need no scaling per dimension, which inner products do not allow.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.gram.reading import GramSource, analysed_cells
from innerear.stacks.gram_file import Arrays, Coords
from innerear.statistics.design import Design
from innerear.statistics.label_distance import Distance, Explained, permuted_sums, prompt_means
from innerear.statistics.probes import (
    Ranking,
    balanced_accuracy,
    balanced_accuracy_bootstrap,
    evidence,
    evidence_null,
    held_out_operators,
    hits,
)
from innerear.statistics.significance import (
    CONFIDENCE,
    correct_over_cells,
    null_table,
    percentile_interval,
    record,
)

DISTANCE, OMEGA, DISPERSION = "cross-validated distance", "PERMANOVA ω²", "dispersion F"
EVIDENCE, ACCURACY, AUC = "probe evidence", "balanced accuracy", "macro AUC"
#: for ratings, in place of accuracy and AUC
CONCORDANCE = "concordance"
#: columns that name a map of layers × cells
MAP_COLUMNS = ("branch", "statistic", "over")
#: statistics that are tested at every step; those of probes' decisions are tested in windows only
EVERYWHERE = (DISTANCE, OMEGA, DISPERSION, EVIDENCE)
_REFITTED = "tested in windows: without templates each permutation needs new folds and probes"
_DUPLICATES = "none: a resample holds templates twice, and what is repeated looks explained"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerDiscriminability:
    """What `layer_discriminability` returns.

    Attributes
    ----------
    table : long, one row per branch, statistic and step or window; common columns.
    null : null maxima, for `discriminability_map`.
    arrays, coords : for `best_layers`, as `GramFile.write` takes them: `fold_products`
        [branch, relabeling, fold, fold_2] of the whole window, relabeling 0 the observed one, and
        `bootstraps` [branch, bootstrap] of its distance.
    """

    table: pd.DataFrame
    null: pd.DataFrame
    arrays: Arrays
    coords: Coords


@dataclass(frozen=True)
class _Statistic:
    """One statistic of all cells of a branch: estimate [cells], null [m, cells], bootstraps [m, cells]."""

    name: str
    estimate: np.ndarray
    null: np.ndarray
    boots: np.ndarray
    interval: str = ""


def layer_discriminability(
    gram: GramSource,
    design: Design,
    *,
    model: str,
    layer: int,
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
) -> LayerDiscriminability:
    """Measure how far one layer tells labels apart, at every complete step and in every window.

    Parameters
    ----------
    gram : an open `GramFile` of `design`'s samples, in its order.
    design : labels, folds, permutations, bootstraps.
    model, layer : for the table's columns.
    n_permutations, n_bootstraps : rows of the design's tables to use.

    Returns
    -------
    See `LayerDiscriminability`. Statistics, each from prompt means or held-out scores:

    - cross-validated distance, `Distance`, divided by the samples' mean squared distance from
      their mean, so that layers compare; 0 without effect.
    - PERMANOVA ω² and dispersion F, `Explained`.
    - probe evidence, −∞ … 1, 0 without effect; balanced accuracy, chance 1 / number of labels; macro
      AUC, chance ½ (for ratings the concordance index alone), over pairs of one held-out template.

    Tests are one-sided, by relabeling prompts within templates; `p_corrected` is max-T over the
    steps (or windows) of this layer and branch until `discriminability_map` takes in all layers.
    Accuracy and AUC are tested in windows only. Where there are no templates, folds follow the
    labels, so that probes are fitted anew under each of the first 99 permutations, and tested in windows
    only. Pads are left out; cells without variance are NaN.

    Raises
    ------
    InputError: the Gram file holds other samples than the design, or in another order.
    """
    design.check_order(gram.coords("sample"))
    why_not = design.why_not(n_permutations)
    if why_not:
        log.warning("discriminability, layer %s: estimates without p: %s", layer, why_not)
    cells = analysed_cells(gram)
    branches = [str(name) for name in gram.coords("branch")]
    whole = int(np.flatnonzero(cells["window"] == "whole")[0])
    frames, nulls, products, boots = [], [], [], []
    for number, branch in enumerate(branches):
        kernel = _kernel(gram, number)
        measured = _Branch(kernel, design, n_permutations, n_bootstraps)
        for statistic in measured.statistics(cells):
            table, maxima = _tested(statistic, cells, design, n_permutations)
            frames.append(table.assign(branch=branch))
            nulls += [({"branch": branch} | name, null_max) for name, null_max in maxima]
        products.append(measured.fold_products(whole))
        boots.append(measured.distance_boots[:, whole])
    table = pd.concat(frames, ignore_index=True).assign(model=model, layer=layer)
    estimates = ["estimate", "ci_lo", "ci_hi"]
    table[estimates] = table[estimates].round(6)
    return LayerDiscriminability(
        table.reindex(columns=_COLUMNS),
        null_table(nulls, design.permutation_hash(n_permutations), list(MAP_COLUMNS), n_permutations),
        {
            "fold_products": (("branch", "relabeling", "fold", "fold_2"), np.array(products, np.float32)),
            "bootstraps": (("branch", "bootstrap"), np.array(boots, np.float32)),
        },
        {
            "branch": np.array(branches),
            "relabeling": np.arange(products[0].shape[0], dtype=np.int32),
            "fold": np.arange(products[0].shape[1], dtype=np.int32),
            "fold_2": np.arange(products[0].shape[1], dtype=np.int32),
            "bootstrap": np.arange(n_bootstraps, dtype=np.int32),
        },
    )


_COLUMNS = pd.Index(
    [
        *("model", "layer", "branch", "over", "step", "seconds", "window", "statistic"),
        *("estimate", "ci_lo", "ci_hi", "interval", "p", "p_corrected", "score"),
        *("n_prompts", "n_perm", "min_p", "null", "family"),
    ]
)


def discriminability_map(tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all layers and correct `p_corrected` over layers × steps (or windows).

    Parameters
    ----------
    tables, nulls : of each layer, from `LayerDiscriminability`.
    """
    return correct_over_cells(tables, nulls, MAP_COLUMNS)


def _kernel(gram: GramSource, branch: int) -> np.ndarray:
    """Gram matrices [cells, N, N] of a branch, zero where all samples are equal."""
    complete = gram.read("complete")
    by_step = gram.read("gram", branch=branch)[complete]
    by_step[gram.read("deterministic", branch=branch)[complete]] = 0
    return np.concatenate([by_step, gram.read("window_gram", branch=branch)])


class _Branch:
    """All statistics of one branch's kernels [cells, N, N]."""

    def __init__(self, kernel: np.ndarray, design: Design, n_permutations: int, n_bootstraps: int) -> None:
        energy = np.trace(kernel, axis1=1, axis2=2, dtype=float) / design.n_samples
        self.varies = energy > 0
        # In units of the samples' variance, in float64 so that relabelings that only rename tie.
        self.kernel = kernel / np.where(self.varies, energy, 1)[:, None, None]
        self.design, self.n_permutations, self.n_bootstraps = design, n_permutations, n_bootstraps
        self.prompts = prompt_means(self.kernel, design)
        self.permutations = design.prompt_permutations(n_permutations)
        self.untested = np.full((n_permutations, len(kernel)), np.nan)
        self.distance_boots = np.full((n_bootstraps, len(kernel)), np.nan)
        try:
            design.folds()
            self.why_no_folds = ""
        except InputError as error:
            self.why_no_folds = str(error)

    def statistics(self, cells: pd.DataFrame) -> list[_Statistic]:
        """Return all statistics; those that the design cannot give are NaN."""
        return [
            *self._distance(),
            *self._explained(),
            *self._probes(np.flatnonzero(cells["over"] == "windows")),
        ]

    def _masked(self, estimate: np.ndarray) -> np.ndarray:
        return np.where(self.varies, estimate, np.nan)

    def _distance(self) -> list[_Statistic]:
        nothing = np.full(len(self.kernel), np.nan)
        if self.why_no_folds or not Distance(self.design).possible:
            return [_Statistic(DISTANCE, nothing, self.untested, self.distance_boots)]
        distance = Distance(self.design)
        estimate = np.einsum("pq,cpq->c", distance.weights, self.prompts)
        null = permuted_sums(distance.weights, self.prompts, self.permutations)
        self.distance_boots = distance.bootstrap(self.kernel, self.n_bootstraps)
        return [_Statistic(DISTANCE, self._masked(estimate), null, self.distance_boots)]

    def fold_products(self, cell: int) -> np.ndarray:
        """Fold products [1 + m, F, F] of one cell, the observed ones first; NaN where there are no folds."""
        if self.why_no_folds or not self.varies[cell]:
            n_folds = 1 if self.why_no_folds else len(self.design.folds())
            return np.full((1 + self.n_permutations, n_folds, n_folds), np.nan)
        rows = np.vstack([np.arange(self.design.n_prompts), self.permutations])
        return Distance(self.design).fold_products(self.prompts[cell], rows)

    def _explained(self) -> list[_Statistic]:
        model, nothing = Explained.of(self.design), np.full(len(self.kernel), np.nan)
        if model.within < 1 or model.between < 1:
            return [_Statistic(name, nothing, self.untested, self.untested) for name in (OMEGA, DISPERSION)]
        relabelings = np.vstack([np.arange(self.design.n_prompts), self.permutations])
        explained = permuted_sums(model.label, self.prompts, relabelings)
        both = {
            OMEGA: model.omega_squared(explained, self.prompts),
            DISPERSION: model.dispersion_f(self.prompts, relabelings),
        }
        return [
            _Statistic(name, self._masked(values[0]), values[1:], self.untested[:0], _DUPLICATES)
            for name, values in both.items()
        ]

    def _probes(self, tested: np.ndarray) -> list[_Statistic]:
        design, boots = self.design, self.design.bootstraps(self.n_bootstraps)
        names = (EVIDENCE, CONCORDANCE) if design.numeric else (EVIDENCE, AUC, ACCURACY)
        if self.why_no_folds:
            nothing = np.full(len(self.kernel), np.nan)
            return [_Statistic(name, nothing, self.untested, self.untested) for name in names]
        operators = held_out_operators(self.kernel, design)
        spoken = evidence(operators, design)  # [cells, N]
        counts = boots.samples()
        targets = design.targets[design.prompt_of]  # [N, Q]
        scores = (operators @ targets).swapaxes(0, 1)  # [N, cells, Q]
        ranking, right = Ranking(design), hits(scores, targets[:, None])
        if design.blocked:
            null = evidence_null(operators, design, self.n_permutations)
            nulls = self._decisions(operators, tested, ranking)
        else:
            null, *nulls = self._refitted(tested, ranking)
        statistics = [
            _Statistic(
                EVIDENCE,
                self._masked(spoken.mean(axis=1)),
                null,
                counts @ spoken.T / counts.sum(axis=1, keepdims=True),
            )
        ]
        share = ranking.share(scores, targets[:, None])
        statistics.append(
            _Statistic(names[1], self._masked(share), nulls[0], ranking.bootstrap(scores, targets, boots))
        )
        if not design.numeric:
            accuracy = balanced_accuracy(right, targets[:, None])
            accuracies = balanced_accuracy_bootstrap(right, targets, boots)
            statistics.append(_Statistic(ACCURACY, self._masked(accuracy), nulls[1], accuracies))
        return statistics

    def _decisions(self, operators: np.ndarray, tested: np.ndarray, ranking: Ranking) -> list[np.ndarray]:
        """AUC (or concordance) and accuracy under every relabeling, [m, cells]; NaN where not `tested`."""
        nulls = [self.untested.copy(), self.untested.copy()]
        targets = self.design.targets[self.permutations][:, self.design.prompt_of]  # [m, N, Q]
        targets = np.ascontiguousarray(targets.swapaxes(0, 1), np.float32)  # [N, m, Q]
        flat = targets.reshape(len(targets), -1)
        for cell in tested:
            scores = (operators[cell].astype(np.float32) @ flat).reshape(targets.shape)
            nulls[0][:, cell] = ranking.share(scores, targets)
            if not self.design.numeric:
                nulls[1][:, cell] = balanced_accuracy(hits(scores, targets), targets)
        return nulls

    def _refitted(self, tested: np.ndarray, ranking: Ranking) -> list[np.ndarray]:
        """Evidence, AUC (or concordance) and accuracy under exchanges of the prompts, as `_decisions`."""
        orders = self.design.exchanges(self.n_permutations)
        nulls = [np.full((len(orders), len(self.kernel)), np.nan) for _ in range(3)]
        targets = self.design.targets[self.design.prompt_of]
        for k, order in enumerate(orders):
            operators = held_out_operators(self.kernel[np.ix_(tested, order, order)], self.design)
            scores = (operators @ targets).swapaxes(0, 1)  # [N, tested, Q]
            nulls[0][k, tested] = evidence(operators, self.design).mean(axis=1)
            nulls[1][k, tested] = ranking.share(scores, targets[:, None])
            if not self.design.numeric:
                nulls[2][k, tested] = balanced_accuracy(hits(scores, targets[:, None]), targets[:, None])
        return nulls


def _tested(
    statistic: _Statistic, cells: pd.DataFrame, design: Design, m: int
) -> tuple[pd.DataFrame, list[tuple[dict[str, str], np.ndarray]]]:
    """Table one statistic, with p-values over steps and over windows; return the null maxima too."""
    estimate, boots, interval = statistic.estimate, statistic.boots, statistic.interval
    if interval:
        low, high = np.full((2, len(estimate)), np.nan)
    else:
        low, high, interval = percentile_interval(estimate, boots, design.resampled)
    table = cells.assign(
        statistic=statistic.name,
        estimate=estimate,
        ci_lo=low,
        ci_hi=high,
        interval=interval,
        p=np.nan,
        p_corrected=np.nan,
        score=np.nan,
        n_prompts=design.n_prompts,
        n_perm=0,
        min_p=np.nan,
        null="",
        family="",
    )
    why = _why_not(statistic, design, m)
    maxima, used = [], len(statistic.null)
    for over in ("steps", "windows"):
        mine = np.flatnonzero(cells["over"] == over)
        result = design.test(estimate[mine], statistic.null[:, mine])
        record(
            table,
            mine,
            result,
            min_p=design.smallest_p(used),
            null=design.null_text(m, f"{design.label}s", used),
            family=f"{over} of this layer and branch",
            why_not=[why[cell] for cell in mine],
        )
        if np.isfinite(result.p).any():
            maxima.append(({"statistic": statistic.name, "over": over}, result.null_max))
    return table, maxima


def _why_not(statistic: _Statistic, design: Design, m: int) -> list[str]:
    """Say for each cell why it would have no p."""
    untested = design.why_not(m)
    if not untested and statistic.name in (EVIDENCE, AUC, CONCORDANCE, ACCURACY):
        untested = "an estimate: tested in windows" if design.blocked else _REFITTED
    nothing = f"too few prompts of each {design.label}, or all samples are equal (deterministic)"
    return [untested if np.isfinite(value) else nothing for value in statistic.estimate]


def best_layers(layers: Mapping[int, GramSource], design: Design, *, model: str) -> pd.DataFrame:
    """Rank layers by the cross-validated distance of the whole clip, and confirm the best one.

    Parameters
    ----------
    layers : layer → its open file of `LayerDiscriminability.arrays`.
    design : permutations.
    model : for the table's columns.

    Returns
    -------
    Common columns. For each branch and layer its rank (1 is best) with the interval of its ranks over
    bootstraps. And for each branch the distance of the layer that was *chosen on the other
    templates*, measured on the template held out, averaged over templates: choosing the best of many
    layers does not flatter it. Its null chooses anew under every relabeling; corrected over branches.
    """
    numbers = sorted(layers)
    branches = [str(name) for name in layers[numbers[0]].coords("branch")]
    products = np.array([layers[n].read("fold_products") for n in numbers], float)  # [L, C, 1 + m, F, F]
    boots = np.array([layers[n].read("bootstraps") for n in numbers], float)  # [L, C, m]
    ranks = _ranks(products[:, :, 0], boots, numbers, branches)
    held_out, confirmed = _held_out(products, numbers, branches)
    m = products.shape[2] - 1
    table = pd.concat([ranks, held_out], ignore_index=True).assign(
        **{"p": np.nan, "p_corrected": np.nan, "score": np.nan, "n_perm": 0, "min_p": np.nan},
        null="none: an estimate, confirmed below",
        family="",
        n_prompts=design.n_prompts,
        model=model,
        window="whole",
    )
    record(
        table,
        np.arange(len(ranks), len(table)),
        design.test(confirmed[0], confirmed[1:]),
        min_p=design.smallest_p(m),
        null=design.null_text(m, f"{design.label}s"),
        family="branches",
        why_not=[design.why_not(m) or "confirming needs three folds that hold every label"] * len(branches),
    )
    return table.reindex(columns=_BEST_COLUMNS)


def _ranks(observed: np.ndarray, boots: np.ndarray, numbers: list[int], branches: list[str]) -> pd.DataFrame:
    """Rank the layers of each branch by their distance, from [L, C, F, F], with intervals from [L, C, m]."""
    off = ~np.eye(observed.shape[-1], dtype=bool)
    distances = observed[..., off].mean(axis=-1) if off.any() else np.full(observed.shape[:2], np.nan)
    ranks = 1 + (distances[None] > distances[:, None]).sum(axis=1)  # [L, C]
    usable = np.isfinite(boots).all(axis=(0, 1))
    resampled = 1 + (boots[None] > boots[:, None]).sum(axis=1)[..., usable]  # [L, C, m]
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    rows = []
    for c, branch in enumerate(branches):
        for l, layer in enumerate(numbers):
            known = np.isfinite(distances[l, c]) and usable.any()
            low, high = np.quantile(resampled[l, c], tails, method="nearest") if known else (np.nan, np.nan)
            rank = float(ranks[l, c]) if known else np.nan
            rows.append((layer, branch, "rank of the layer", rank, low, high, str(layer)))
    return pd.DataFrame(
        rows, columns=pd.Index(["layer", "branch", "statistic", "estimate", "ci_lo", "ci_hi", "chosen"])
    )


def _held_out(
    products: np.ndarray, numbers: list[int], branches: list[str]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of the chosen layers' distance on held-out folds, and that distance with its null, [1 + m, C]."""
    if products.shape[-1] > 2:
        confirmed, chosen = _confirmed(products)
        names = [", ".join(str(numbers[l]) for l in of_branch) for of_branch in chosen.T]
    else:
        confirmed, names = np.full((products.shape[2], len(branches)), np.nan), [""] * len(branches)
    table = pd.DataFrame({"layer": -1, "branch": branches, "estimate": confirmed[0], "chosen": names})
    statistic = "held-out distance of the chosen layer"
    return table.assign(statistic=statistic, ci_lo=np.nan, ci_hi=np.nan), confirmed


_BEST_COLUMNS = pd.Index(
    [
        *("model", "layer", "branch", "window", "statistic", "estimate", "ci_lo", "ci_hi", "chosen"),
        *("p", "p_corrected", "score", "n_prompts", "n_perm", "min_p", "null", "family"),
    ]
)


def _confirmed(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance on each held-out fold of the layer that is best on the others, averaged, [1 + m, C].

    The second value is the observed choice of each fold, [F, C]. `products` is [L, C, 1 + m, F, F].
    """
    n_folds = products.shape[-1]
    values, choices = [], []
    for fold in range(n_folds):
        others = np.flatnonzero(np.arange(n_folds) != fold)
        among = products[..., others[:, None], others]
        n_pairs = len(others) * (len(others) - 1)
        score = (among.sum(axis=(-2, -1)) - np.trace(among, axis1=-2, axis2=-1)) / n_pairs  # [L, C, 1 + m]
        choice = np.nan_to_num(score, nan=-np.inf).argmax(axis=0)[None]
        held_out = products[..., fold, others].mean(axis=-1)  # [L, C, 1 + m]
        values.append(np.take_along_axis(held_out, choice, axis=0)[0])
        choices.append(choice[0, :, 0])
    return np.mean(values, axis=0).T, np.array(choices)

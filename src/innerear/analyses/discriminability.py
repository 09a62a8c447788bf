"""Where and when a layer distinguishes labels: layer × step × branch, from the Gram file alone.

Three views of one question. The cross-validated squared distance leads, since it has a true zero. PERMANOVA
ω² is the variance that labels explain, with a test of dispersion. Held-out probes show how well a label can
be decoded. Inner products allow no scaling per dimension.
"""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.gram.reading import GramSource, analysed_cells
from innerear.statistics.cells import estimates, record_by_over
from innerear.statistics.design import Design
from innerear.statistics.finding import Finding
from innerear.statistics.label_distance import Distance, Explained, permuted_sums, prompt_means
from innerear.statistics.probes import (
    Ranking,
    balanced_accuracy,
    balanced_accuracy_bootstrap,
    evidence,
    evidence_bootstrap,
    evidence_null,
    held_out_operators,
    hits,
)
from innerear.statistics.significance import null_table
from innerear.statistics.table import LayerResult, columns

DISTANCE, OMEGA, DISPERSION = "cross-validated distance", "PERMANOVA ω²", "dispersion F"
EVIDENCE, ACCURACY, AUC = "probe evidence", "balanced accuracy", "macro AUC"
#: for ratings, in place of accuracy and AUC
CONCORDANCE = "concordance"
#: columns that name a map of layers × cells
MAP_COLUMNS = ("branch", "statistic", "over")
FAMILY = "layers × {over} of a branch"
_REFITTED = "tested in windows: without templates each permutation needs new folds and probes"
_DUPLICATES = "none: a resample holds templates twice, and what is repeated looks explained"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Statistic:
    """One statistic of all cells of a branch: estimate [cells], null [m, cells], bootstraps [m, cells]."""

    name: str
    estimate: np.ndarray
    null: np.ndarray
    boots: np.ndarray


def of_layer(
    gram: GramSource,
    design: Design,
    *,
    model: str,
    layer: int,
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
) -> LayerResult:
    """Measure how far apart one layer's labels are, at every complete step and in every window.

    Parameters
    ----------
    gram : an open `GramFile` of `design`'s samples, in its order.
    design : labels, folds, permutations, bootstraps.
    model, layer : for the table's columns.
    n_permutations, n_bootstraps : rows of the design's tables to use.

    Returns
    -------
    One row per branch, statistic and step or window. For `best_layers`, `fold_products`
    [branch, relabeling, fold, fold_2] of the whole window, relabeling 0 the observed one, and `bootstraps`
    [branch, bootstrap] of its distance. Statistics, from prompt means or held-out scores:

    - cross-validated distance, `Distance`, ÷ the samples' mean squared distance from their mean, which
      makes layers comparable; 0 without effect.
    - PERMANOVA ω² and dispersion F, `Explained`.
    - probe evidence, −∞ … 1, 0 without effect; balanced accuracy, chance 1 / number of labels; macro
      AUC, chance ½ (for ratings the concordance index alone), over pairs of one held-out template.

    Tests are one-sided, by relabeling prompts within templates; `p_corrected` is max-T over the
    steps (or windows) of this layer and branch. Accuracy and AUC are tested in windows only. Without
    templates folds follow the labels: probes are fitted anew under each of the first 99 permutations, and
    tested in windows only. Cells without variance are NaN.

    Raises
    ------
    InputError: the Gram file holds other samples than the design, or in another order.
    """
    design.check_order(gram.coords("sample"))
    if design.why_not(n_permutations):
        log.warning(
            "discriminability, layer %s: estimates without p: %s", layer, design.why_not(n_permutations)
        )
    cells, branches = analysed_cells(gram), gram.labels("branch")
    whole = int(np.flatnonzero(cells["window"] == "whole")[0])
    frames, nulls, products, boots = [], [], [], []
    for branch in branches:
        measured = _Branch(_kernel(gram, branch), design, n_permutations, n_bootstraps)
        for statistic in measured.statistics(cells):
            table, maxima = _tested(statistic, cells, design, n_permutations)
            frames.append(table.assign(branch=branch))
            nulls += [({"branch": branch} | name, null_max) for name, null_max in maxima]
        products.append(measured.fold_products(whole))
        boots.append(measured.distance_boots[:, whole])
    table = pd.concat(frames, ignore_index=True).assign(model=model, layer=layer)
    table[["estimate", "ci_lo", "ci_hi"]] = table[["estimate", "ci_lo", "ci_hi"]].round(6)
    arrays = {
        "fold_products": (("branch", "relabeling", "fold", "fold_2"), np.array(products, np.float32)),
        "bootstraps": (("branch", "bootstrap"), np.array(boots, np.float32)),
    }
    sizes = {axis: n for axes, values in arrays.values() for axis, n in zip(axes, values.shape, strict=True)}
    return LayerResult(
        table.reindex(columns=_COLUMNS),
        null_table(nulls, design.permutation_hash(n_permutations), MAP_COLUMNS, n_permutations),
        arrays,
        {axis: np.arange(n, dtype=np.int32) for axis, n in sizes.items()} | {"branch": np.array(branches)},
    )


_COLUMNS = columns(
    *("branch", "over", "step", "seconds", "window", "statistic", "estimate", "ci_lo", "ci_hi", "interval")
)


def _kernel(gram: GramSource, branch: str) -> np.ndarray:
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
        # In units of the samples' variance, in float64, which makes relabelings that only rename tie.
        self.kernel = kernel / np.where(self.varies, energy, 1)[:, None, None]
        self.design, self.n_permutations, self.n_bootstraps = design, n_permutations, n_bootstraps
        self.prompts = prompt_means(self.kernel, design)
        self.permutations = design.prompt_permutations(n_permutations)
        self.relabelings = np.vstack([np.arange(design.n_prompts), self.permutations])
        self.untested = np.full((n_permutations, len(kernel)), np.nan)
        self.distance_boots = np.full((n_bootstraps, len(kernel)), np.nan)
        try:
            self.distance = Distance(design)
        except InputError:  # no folds are possible
            self.distance = None

    def statistics(self, cells: pd.DataFrame) -> list[_Statistic]:
        """Return all statistics; those that the design cannot give are NaN."""
        windows = np.flatnonzero(cells["over"] == "windows")
        return [self._distance(), *self._explained(), *self._probes(windows)]

    def _nothing(self, *names: str) -> list[_Statistic]:
        return [
            _Statistic(name, np.full(len(self.kernel), np.nan), self.untested, self.untested)
            for name in names
        ]

    def _measured(self, name: str, estimate: np.ndarray, null: np.ndarray, boots: np.ndarray) -> _Statistic:
        return _Statistic(name, np.where(self.varies, estimate, np.nan), null, boots)

    def _distance(self) -> _Statistic:
        if self.distance is None or not self.distance.possible:
            return self._nothing(DISTANCE)[0]
        estimate = np.einsum("pq,cpq->c", self.distance.weights, self.prompts)
        null = permuted_sums(self.distance.weights, self.prompts, self.permutations)
        self.distance_boots = self.distance.bootstrap(self.kernel, self.n_bootstraps)
        return self._measured(DISTANCE, estimate, null, self.distance_boots)

    def fold_products(self, cell: int) -> np.ndarray:
        """Fold products [1 + m, F, F] of one cell, the observed ones first; NaN where there are no folds."""
        if self.distance is None or not self.varies[cell]:
            n_folds = 1 if self.distance is None else len(self.design.folds())
            return np.full((1 + self.n_permutations, n_folds, n_folds), np.nan)
        return self.distance.fold_products(self.prompts[cell], self.relabelings)

    def _explained(self) -> list[_Statistic]:
        model = Explained(self.design)
        if model.within < 1 or model.between < 1:
            return self._nothing(OMEGA, DISPERSION)
        explained = permuted_sums(model.label, self.prompts, self.relabelings)
        omega = model.omega_squared(explained, self.prompts)
        dispersion = model.dispersion_f(self.prompts, self.relabelings)
        return [
            self._measured(name, values[0], values[1:], self.untested[:0])
            for name, values in ((OMEGA, omega), (DISPERSION, dispersion))
        ]

    def _probes(self, tested: np.ndarray) -> list[_Statistic]:
        design, boots = self.design, self.design.bootstraps(self.n_bootstraps)
        names = (EVIDENCE, CONCORDANCE) if design.numeric else (EVIDENCE, AUC, ACCURACY)
        if self.distance is None:
            return self._nothing(*names)
        operators = held_out_operators(self.kernel, design)
        own = evidence(operators, design)  # [cells, N]
        targets = design.targets[design.prompt_of]  # [N, Q]
        scores = (operators @ targets).swapaxes(0, 1)  # [N, cells, Q]
        ranking, right = Ranking(design), hits(scores, targets[:, None])
        if design.blocked:
            null = evidence_null(operators, design, self.n_permutations)
            nulls = [null, *self._decisions(operators, tested, ranking)]
        else:
            nulls = self._refitted(tested, ranking)
        observed = [
            (own.mean(axis=1), evidence_bootstrap(own, boots)),
            (ranking.share(scores, targets[:, None]), ranking.bootstrap(scores, targets, boots)),
        ]
        if not design.numeric:
            accuracy = balanced_accuracy(right, targets[:, None])
            observed.append((accuracy, balanced_accuracy_bootstrap(right, targets, boots)))
        return [
            self._measured(name, estimate, null, resampled)
            for name, (estimate, resampled), null in zip(names, observed, nulls, strict=False)
        ]

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
    estimate, why_not = statistic.estimate, ""
    nothing = f"none: too few prompts of each {design.label}, or all samples are equal (deterministic)"
    own = {"statistic": statistic.name, "null": np.where(np.isnan(estimate), nothing, "")}
    if statistic.name in (OMEGA, DISPERSION) and len(statistic.boots) < 1:
        own["interval"] = _DUPLICATES
    if statistic.name in (EVIDENCE, AUC, CONCORDANCE, ACCURACY):
        why_not = "an estimate: tested in windows" if design.blocked else _REFITTED
    table = estimates(cells, design, estimate, statistic.boots, **own)
    return table, record_by_over(table, design, statistic.null, m=m, why_not=why_not)


FINDINGS = (
    Finding(
        "Do held-out templates distinguish the {contrasts} in uncond, which reads no text?",
        "Yes, most clearly in layer {layer}, over the whole clip.",
        {"statistic": DISTANCE, "over": "windows", "window": "whole", "branch": "uncond"},
        "discriminability_maps",
    ),
)

"""Where and when a layer distinguishes labels: layer × step × branch, from the Gram file alone.

Three views of one question. The cross-validated squared distance leads, since it has a true zero. PERMANOVA
ω² is the variance that labels explain, with a test of dispersion. Held-out probes show how well a label can
be decoded. Inner products allow no scaling per dimension.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from innerear.gram.reading import GramSource, analysed_cells
from innerear.statistics.cells import estimates, no_p, record_by_over, rounded
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
from innerear.statistics.table import INTERVAL, LayerResult, Maxima, columns
from innerear.study.questions import QUESTIONS

DISTANCE, OMEGA, DISPERSION = "cross-validated distance", "PERMANOVA ω²", "dispersion F"
EVIDENCE, ACCURACY, AUC = "probe evidence", "balanced accuracy", "macro AUC"
#: for ratings, in place of accuracy and AUC
CONCORDANCE = "concordance"
#: columns that name a map of layers × cells
MAP_COLUMNS = ("branch", "statistic", "over")
FAMILY = "layers × {over} of a branch"
_REFITTED = "tested in windows: without templates each permutation needs new folds and probes"
_DUPLICATES = "none: a resample holds templates twice, and what is repeated looks explained"


@dataclass(frozen=True)
class _Statistic:
    """One statistic of all cells of a branch: estimate [cells], null [m, cells], bootstraps [m, cells]."""

    name: str
    estimate: np.ndarray
    null: np.ndarray
    boots: np.ndarray


def of_layer(gram: GramSource, design: Design) -> LayerResult:
    """Measure how far apart one layer's labels are, at every complete step and in every window.

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
    """
    cells, branches = analysed_cells(gram), gram.labels("branch")
    whole = int(np.flatnonzero(cells["window"] == "whole")[0])
    frames, maxima, products, boots = [], [], [], []
    for branch in branches:
        measured = _Branch(_kernel(gram, branch), design)
        for statistic in measured.statistics(cells):
            table, tested = _tested(statistic, cells.assign(branch=branch), design)
            frames.append(table)
            maxima += tested
        products.append(measured.fold_products(whole))
        boots.append(measured.distance_boots[:, whole])
    arrays = {
        "fold_products": (("branch", "relabeling", "fold", "fold_2"), np.array(products, np.float32)),
        "bootstraps": (("branch", "bootstrap"), np.array(boots, np.float32)),
    }
    sizes = {axis: n for axes, values in arrays.values() for axis, n in zip(axes, values.shape, strict=True)}
    coords = {axis: np.arange(n, dtype=np.int32) for axis, n in sizes.items()}
    coords |= {"branch": np.array(branches)}
    return LayerResult(rounded(frames), None, arrays, coords, maxima=maxima, remarks=no_p(design))


COLUMNS = columns("branch", "over", "step", "seconds", "window", "statistic", *INTERVAL, "interval")


def _kernel(gram: GramSource, branch: str) -> np.ndarray:
    """Gram matrices [cells, N, N] of a branch, zero where all samples are equal."""
    complete = gram.read("complete")
    by_step = gram.read("gram", branch=branch)[complete]
    by_step[gram.read("deterministic", branch=branch)[complete]] = 0
    return np.concatenate([by_step, gram.read("window_gram", branch=branch)])


class _Branch:
    """All statistics of one branch's kernels [cells, N, N]."""

    def __init__(self, kernel: np.ndarray, design: Design) -> None:
        energy = np.trace(kernel, axis1=1, axis2=2, dtype=float) / design.n_samples
        self.varies = energy > 0
        # In units of the samples' variance, in float64, which makes relabelings that only rename tie.
        self.kernel = kernel / np.where(self.varies, energy, 1)[:, None, None]
        self.design, self.prompts = design, prompt_means(self.kernel, design)
        self.permutations = design.prompt_permutations()
        self.relabelings = np.vstack([np.arange(design.n_prompts), self.permutations])
        self.untested = np.full((design.n_permutations, len(kernel)), np.nan)
        self.distance_boots = np.full((design.n_bootstraps, len(kernel)), np.nan)
        self.distance = None if design.why_no_folds else Distance(design)

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
        self.distance_boots = self.distance.bootstrap(self.kernel)
        return self._measured(DISTANCE, estimate, null, self.distance_boots)

    def fold_products(self, cell: int) -> np.ndarray:
        """Fold products [1 + m, F, F] of one cell, the observed ones first; NaN where there are no folds."""
        if self.distance is None or not self.varies[cell]:
            n_folds = 1 if self.distance is None else len(self.design.folds())
            return np.full((len(self.relabelings), n_folds, n_folds), np.nan)
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
        design, boots = self.design, self.design.bootstraps()
        names = (EVIDENCE, CONCORDANCE) if design.numeric else (EVIDENCE, AUC, ACCURACY)
        if self.distance is None:
            return self._nothing(*names)
        operators = held_out_operators(self.kernel, design)
        own = evidence(operators, design)  # [cells, N]
        targets = design.targets[design.prompt_of]  # [N, Q]
        scores = (operators @ targets).swapaxes(0, 1)  # [N, cells, Q]
        ranking, right = Ranking(design), hits(scores, targets[:, None])
        if design.blocked:
            null = evidence_null(operators, design)
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
        orders = self.design.exchanges()
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


def _tested(statistic: _Statistic, cells: pd.DataFrame, design: Design) -> tuple[pd.DataFrame, list[Maxima]]:
    """Table one statistic, with p-values over steps and over windows; return the null maxima too."""
    estimate, why_not = statistic.estimate, ""
    nothing = f"none: too few prompts of each {design.label}, or all samples are equal (deterministic)"
    own = {"statistic": statistic.name, "null": np.where(np.isnan(estimate), nothing, "")}
    if statistic.name in (OMEGA, DISPERSION) and len(statistic.boots) < 1:
        own["interval"] = _DUPLICATES
    if statistic.name in (EVIDENCE, AUC, CONCORDANCE, ACCURACY):
        why_not = "an estimate: tested in windows" if design.blocked else _REFITTED
    table = estimates(cells, design, estimate, statistic.boots, **own)
    return table, record_by_over(table, design, statistic.null, why_not=why_not)


FINDINGS = (
    Finding(
        QUESTIONS["uncond"],
        "Yes, over all layers ({n_found} of {n_layers} by themselves): the means of two labels lie "
        "{effect} apart.",
        {"statistic": DISTANCE, "over": "windows", "window": "whole", "branch": "uncond"},
        "discriminability_maps",
        key="uncond",
        unit="distance",
        meaning="squared distance of two labels' means in the whole clip, cross-validated over templates; "
        "0 without an effect",
    ),
)

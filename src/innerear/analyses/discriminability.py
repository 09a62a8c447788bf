"""Discriminability of labels by layer, step and branch, from sums over prompts.

One question, seen three ways. The cross-validated squared distance leads, since it has a true zero: between
templates, over pairs of other seeds. PERMANOVA ω² is the same as a share of variance. Held-out probes on
prompt means show how well a label can be decoded. Inner products allow no scaling per dimension.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from innerear.gram.prompt_sums import ALL, GRAM, SAME, read_sums
from innerear.gram.reading import GramSource, analysed_cells
from innerear.statistics.cells import estimates, no_p, record_by_over, rounded
from innerear.statistics.design import Design
from innerear.statistics.design.prompt_pairs import PromptPairs
from innerear.statistics.finding import Finding
from innerear.statistics.label_distance import Distance, Explained, permuted_sums
from innerear.statistics.pieces import pieces
from innerear.statistics.ridge.probes import (
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

DISTANCE, OMEGA = "cross-validated distance", "PERMANOVA ω²"
#: unequal spread of the labels; not a difference of their means
DISPERSION = "dispersion, largest ÷ smallest"
#: of prompt means, each the mean over its seeds
EVIDENCE, ACCURACY, AUC = "probe evidence", "balanced accuracy of prompts", "macro AUC of prompts"
#: for ratings, in place of accuracy and AUC, and of the ratio
CONCORDANCE, RATING_DISPERSION = "concordance of prompts", "dispersion, share explained"
#: columns that name a map of layers × cells
MAP_COLUMNS = ("branch", "statistic", "over")
FAMILY = "layers × {over} of a branch"
#: with fewer templates the test of dispersion does not hold its level
FEWEST_FOR_DISPERSION = 4
_REFITTED = "tested in windows: without templates each permutation needs new folds and probes"
_DUPLICATES = "none: a resample holds templates twice, and what is repeated looks explained"
_AS_DISTANCE = "an effect size: tested as the cross-validated distance"


@dataclass(frozen=True)
class _Statistic:
    """One statistic of all cells of a branch: estimate [cells], null [m, cells], bootstraps [m, cells].

    `contrasts` [cells, T, T] are what sign flips move, `why_not` says why there is no test.
    """

    name: str
    estimate: np.ndarray
    null: np.ndarray
    boots: np.ndarray
    why_not: str = ""
    contrasts: np.ndarray | None = None


def of_layer(gram: GramSource, design: Design) -> LayerResult:
    """Measure how far apart one layer's labels are, at every complete step and in every window.

    One row per branch, statistic and step or window. For `best_layers`, of the whole window: `fold_products`
    [branch, relabeling, fold, fold_2], relabeling 0 the observed one, `contrasts` [branch, template,
    template_2], and `bootstraps` [branch, bootstrap] of its distance. Statistics:

    - cross-validated distance, `Distance`, from pairs of other seeds (of all seeds where there is one), ÷ the
      samples' mean squared distance from their mean, which makes layers comparable; 0 without effect.
    - PERMANOVA ω² and dispersion, `Explained`, of prompt means.
    - evidence of probes on prompt means, −∞ … 1, 0 without effect; balanced accuracy of prompts, chance 1 /
      number of labels; macro AUC, chance ½ (for ratings the concordance index alone), over pairs of one
      held-out template.

    Tests are one-sided, by relabeling prompts within templates; the distance also by sign flips of templates.
    `p_corrected` and `p_flip_corrected` are max-T over the steps (or windows) of this layer and branch.
    Accuracy and AUC are tested in windows only. Without templates folds follow the labels: probes are fitted
    anew under each of the first 99 permutations, and tested in windows only. Cells without variance are NaN.
    """
    cells, branches = analysed_cells(gram), gram.labels("branch")
    whole = int(np.flatnonzero(cells["window"] == "whole")[0])
    frames, maxima, stored = [], [], []
    for branch in branches:
        every, same = (read_sums(gram, branch, GRAM, pairs) for pairs in (ALL, SAME))
        measured = _Branch(every, same, design)
        for statistic in measured.statistics(cells):
            table, tested = _tested(statistic, cells.assign(branch=branch), design)
            frames.append(table)
            maxima += tested
        stored.append(measured.of_cell(whole))
    axes = {
        "fold_products": ("branch", "relabeling", "fold", "fold_2"),
        "contrasts": ("branch", "template", "template_2"),
        "bootstraps": ("branch", "bootstrap"),
    }
    arrays = {name: (of, np.array([one[name] for one in stored], np.float32)) for name, of in axes.items()}
    sizes = {axis: n for of, values in arrays.values() for axis, n in zip(of, values.shape, strict=True)}
    coords = {axis: np.arange(n, dtype=np.int32) for axis, n in sizes.items()}
    coords |= {"branch": np.array(branches)}
    return LayerResult(rounded(frames), None, arrays, coords, maxima=maxima, remarks=no_p(design))


COLUMNS = columns("branch", "over", "step", "seconds", "window", "statistic", *INTERVAL, "interval")


class _Branch:
    """All statistics of one branch, from sums [cells, P, P] over all pairs of seeds and those of one seed."""

    def __init__(self, every: np.ndarray, same: np.ndarray, design: Design) -> None:
        self.pairs = PromptPairs(design)
        energy = self.pairs.variance(same)
        self.varies = energy > 0
        # In units of the samples' variance.
        scale = 1 / np.where(self.varies, energy, 1)[:, None, None]
        self.prompts = self.pairs.mean(every) * scale
        self.others = self.pairs.other_mean(every, same) * scale
        self.design, self.permutations = design, design.prompt_permutations()
        self.untested = np.full((design.n_permutations, len(every)), np.nan)
        self.distance_boots = np.full((design.n_bootstraps, len(every)), np.nan)
        self.distance = None if design.why_no_folds else Distance(design)

    def statistics(self, cells: pd.DataFrame) -> list[_Statistic]:
        """Return all statistics; those that the design cannot give are NaN."""
        windows = np.flatnonzero(cells["over"] == "windows")
        return [self._distance(), *self._explained(), *self._probes(windows)]

    def _nothing(self, *names: str) -> list[_Statistic]:
        unknown = np.full(len(self.prompts), np.nan)
        return [_Statistic(name, unknown, self.untested, self.untested) for name in names]

    def _measured(
        self, name: str, estimate: np.ndarray, null: np.ndarray, boots: np.ndarray, **further
    ) -> _Statistic:
        return _Statistic(name, np.where(self.varies, estimate, np.nan), null, boots, **further)

    def _distance(self) -> _Statistic:
        if self.distance is None or not self.distance.possible:
            return self._nothing(DISTANCE)[0]
        estimate = np.einsum("pq,cpq->c", self.distance.weights, self.others)
        null = permuted_sums(self.distance.weights, self.others, self.permutations)
        self.distance_boots = self.distance.bootstrap(self.others)
        contrasts = self.distance.contrasts(self.others)
        contrasts[~self.varies] = np.nan
        return self._measured(DISTANCE, estimate, null, self.distance_boots, contrasts=contrasts)

    def of_cell(self, cell: int) -> dict[str, np.ndarray]:
        """Return what `best_layers` reads of one cell; NaN where nothing can be held out."""
        relabelings = np.vstack([np.arange(self.design.n_prompts), self.permutations])
        n_templates = max(self.design.n_templates, 1)
        found = {"bootstraps": self.distance_boots[:, cell]}
        if self.distance is None or not self.varies[cell]:
            n_folds = 1 if self.distance is None else len(self.design.folds())
            found["fold_products"] = np.full((len(relabelings), n_folds, n_folds), np.nan)
            return found | {"contrasts": np.full((n_templates, n_templates), np.nan)}
        kernel = self.others[cell][None]
        found["fold_products"] = self.distance.fold_products(kernel, relabelings)[..., 0]
        unknown = np.full((1, 1), np.nan)
        contrasts = self.distance.contrasts(kernel)[0] if self.design.blocked else unknown
        return found | {"contrasts": contrasts}

    def _explained(self) -> list[_Statistic]:
        model, design = Explained(self.design), self.design
        dispersion = RATING_DISPERSION if design.numeric else DISPERSION
        if model.within < 1 or model.between < 1:
            return self._nothing(OMEGA, dispersion)
        relabelings = np.vstack([np.arange(design.n_prompts), self.permutations])
        explained = np.einsum("pq,cpq->c", model.label, self.prompts)
        omega = model.omega_squared(explained, self.prompts)
        few = design.n_templates < FEWEST_FOR_DISPERSION
        why = f"{design.n_templates} templates: dispersion is tested from {FEWEST_FOR_DISPERSION} on"
        spread = model.dispersion(self.prompts, relabelings[:1] if few else relabelings)
        null = self.untested if few else spread[1:]
        return [
            self._measured(OMEGA, omega, self.untested, self.untested[:0], why_not=_AS_DISTANCE),
            self._measured(dispersion, spread[0], null, self.untested[:0], why_not=why if few else ""),
        ]

    def _probes(self, tested: np.ndarray) -> list[_Statistic]:
        design, boots = self.design.of_prompts(), self.design.of_prompts().bootstraps()
        names = (EVIDENCE, CONCORDANCE) if design.numeric else (EVIDENCE, AUC, ACCURACY)
        if self.distance is None:
            return self._nothing(*names)
        operators = held_out_operators(self.prompts, design)
        own = evidence(operators, design)  # [cells, P]
        targets = design.targets[design.prompt_of]  # [P, Q]
        scores = (operators @ targets).swapaxes(0, 1)  # [P, cells, Q]
        ranking, right = Ranking(design), hits(scores, targets[:, None])
        if design.blocked:
            nulls = [evidence_null(operators, design), *self._decisions(operators, tested, ranking, design)]
        else:
            nulls = self._refitted(tested, ranking, design)
        observed = [
            (own.mean(axis=1), evidence_bootstrap(own, boots)),
            (ranking.share(scores, targets[:, None]), ranking.bootstrap(scores, targets, boots)),
        ]
        if not design.numeric:
            accuracy = balanced_accuracy(right, targets[:, None])
            observed.append((accuracy, balanced_accuracy_bootstrap(right, targets, boots)))
        why = "an estimate: tested in windows" if design.blocked else _REFITTED
        return [
            self._measured(name, estimate, null, resampled, why_not=why)
            for name, (estimate, resampled), null in zip(names, observed, nulls, strict=False)
        ]

    def _decisions(
        self, operators: np.ndarray, tested: np.ndarray, ranking: Ranking, design: Design
    ) -> list[np.ndarray]:
        """AUC (or concordance) and accuracy under every relabeling, [m, cells]; NaN where not `tested`."""
        nulls = [self.untested.copy(), self.untested.copy()]
        for rows in pieces(len(self.permutations), design.targets.size, at_most=2**20):
            targets = design.targets[self.permutations[rows]]  # [m, P, Q]
            targets = np.ascontiguousarray(targets.swapaxes(0, 1), np.float32)  # [P, m, Q]
            flat = targets.reshape(len(targets), -1)
            for cell in tested:
                scores = (operators[cell].astype(np.float32) @ flat).reshape(targets.shape)
                nulls[0][rows, cell] = ranking.share(scores, targets)
                if not design.numeric:
                    nulls[1][rows, cell] = balanced_accuracy(hits(scores, targets), targets)
        return nulls

    def _refitted(self, tested: np.ndarray, ranking: Ranking, design: Design) -> list[np.ndarray]:
        """Evidence, AUC (or concordance) and accuracy under exchanges of the prompts, as `_decisions`."""
        orders = design.exchanges()
        nulls = [np.full((len(orders), len(self.prompts)), np.nan) for _ in range(3)]
        targets = design.targets[design.prompt_of]
        for k, order in enumerate(orders):
            operators = held_out_operators(self.prompts[np.ix_(tested, order, order)], design)
            scores = (operators @ targets).swapaxes(0, 1)  # [P, tested, Q]
            nulls[0][k, tested] = evidence(operators, design).mean(axis=1)
            nulls[1][k, tested] = ranking.share(scores, targets[:, None])
            if not design.numeric:
                nulls[2][k, tested] = balanced_accuracy(hits(scores, targets[:, None]), targets[:, None])
        return nulls


def _tested(statistic: _Statistic, cells: pd.DataFrame, design: Design) -> tuple[pd.DataFrame, list[Maxima]]:
    """Table one statistic, with p-values over steps and over windows; return the null maxima too."""
    estimate = statistic.estimate
    nothing = f"none: too few prompts of each {design.label}, or all samples are equal (deterministic)"
    own = {"statistic": statistic.name, "null": np.where(np.isnan(estimate), nothing, "")}
    if len(statistic.boots) < 1:
        own["interval"] = _DUPLICATES
    table = estimates(cells, design, estimate, statistic.boots, design.resampled_units, **own)
    how = {"why_not": statistic.why_not, "contrasts": statistic.contrasts}
    return table, record_by_over(table, design, statistic.null, **how)


FINDINGS = (
    Finding(
        QUESTIONS["uncond"],
        "Yes, at {n_found} of {n_layers} layers: the means of two {contrasts} lie a squared distance of "
        "{effect} apart in layer {layer} ({range} over layers).",
        {"statistic": DISTANCE, "over": "windows", "window": "whole", "branch": "uncond"},
        "discriminability_maps",
        key="uncond",
        unit="distance",
        meaning="squared distance of two labels' means in the whole clip, cross-validated over templates; "
        "0 without an effect",
        formula="mean of (aₛ − bₛ) · (aₜ − bₜ) over labels a ≠ b and templates s ≠ t, from other "
        "seeds, ÷ the clips' variance",
    ),
)

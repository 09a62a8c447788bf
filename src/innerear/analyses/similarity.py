"""Similarity of samples inside the model: cosine matrices, and curves over five strata of pairs.

Raw cosines of residual streams are near 1, because all samples share a large mean. They are kept as a
*diagnostic* only. The tests use features centred within their template, z-scored or not, and compare pairs
of prompts with other seeds, since two prompts with the same seed share their sampling noise.
"""

import numpy as np
import pandas as pd

from innerear.gram import prompt_sums
from innerear.gram.reading import GramSource, analysed_cells, cosine, window_products
from innerear.statistics.cells import estimates, no_p, record_by_over, rounded
from innerear.statistics.design import STRATA, Design
from innerear.statistics.design.prompt_pairs import PromptPairs, Units
from innerear.statistics.design.sheet import texts
from innerear.statistics.finding import Finding
from innerear.statistics.label_distance import Distance, permuted_sums
from innerear.statistics.table import INTERVAL, LayerResult, Maxima, columns
from innerear.study.questions import QUESTIONS

MEASURES = CENTRED, STANDARDISED, RAW = "centred", "standardised", "raw (diagnostic)"
#: columns that name a map of layers × cells
MAP_COLUMNS = ("branch", "measure", "statistic", "over")
FAMILY = "layers × {over} of a branch"
SAME_SEED, OTHER_SEED = "emotion effect, same seed", "emotion effect, other seed"
RATING_SAME_SEED, RATING_OTHER_SEED = "rating correlation, same seed", "rating correlation, other seed"
#: effect → the strata whose difference it is
EFFECTS = {SAME_SEED: (2, 4), OTHER_SEED: (3, 5), "prompt effect": (1, 3), "seed effect": (2, 3)}
#: the same for ratings: −r of two prompts' cosine with the distance of their ratings
CORRELATIONS = {RATING_SAME_SEED: (2, 4), RATING_OTHER_SEED: (3, 5)}
#: effects of the label, from cosines centred within templates; that of other seeds is tested
TESTED = (SAME_SEED, OTHER_SEED, *CORRELATIONS)
#: samples in a matrix; a figure's panel has no more pixels
MOST_DRAWN = 1000


def of_layer(gram: GramSource, design: Design) -> LayerResult:
    """Compute one layer's cosine matrices, strata curves and tested effects.

    One row per branch, measure, statistic and complete step or window; and `matrices`
    [measure, branch, window, sample, sample_2], the cosines of the whole clip; where there are more than
    `MOST_DRAWN` samples, of at most so many, one of a prompt.

    Statistics are the mean cosine of each stratum and the effects in `EFFECTS`, with 95 % percentile
    intervals over bootstraps of templates (or prompts). The emotion effects are of cosines between states
    *centred within their template*, all others of states centred on the mean of all samples: on that mean,
    labels of unlike dispersion differ by what they lose in length. For a rating the strata are those of the
    emotions, and `CORRELATIONS` replace the emotion effects: correlations of two prompts' mean cosine with
    the distance of their ratings (after Mantel 1967), positive if near ratings go with high cosines.

    The effect (or correlation) from pairs of *other seeds* is tested, one-sided, by permuting labels within
    templates and by sign flips of templates; that of one seed only where templates share their only seed.
    `p_corrected` is max-T over the steps (or windows) of this layer and branch. Cells without variance
    (`deterministic`) or without pairs are NaN, with the reason in `null`.
    """
    pairs, cells, branches = _Pairs(design), analysed_cells(gram), gram.labels("branch")
    frames, maxima, matrices, drawn = [], [], [], _drawn(design)
    for measure in MEASURES:
        for branch in branches:
            matrices.append(_matrix(gram, measure, branch, drawn))
            named = cells.assign(branch=branch, measure=measure)
            frames += pairs.strata(_read(gram, branch, measure), named, tests=measure != RAW)
            if measure != RAW:
                frame, tested = pairs.label_effects(_read(gram, branch, measure, within=True), named)
                frames.append(frame)
                maxima += tested
    axes = ("measure", "branch", "window", "sample", "sample_2")
    coords = {"measure": np.array(MEASURES), "branch": np.array(branches), "window": np.array(["whole"])}
    coords |= dict.fromkeys(("sample", "sample_2"), np.asarray(gram.coords("sample"))[drawn])
    whole = np.array(matrices, np.float32).reshape(len(MEASURES), len(branches), 1, *matrices[0].shape)
    return LayerResult(
        rounded(frames), None, {"matrices": (axes, whole)}, coords, maxima=maxima, remarks=no_p(design)
    )


COLUMNS = columns(
    *("branch", "over", "step", "seconds", "window", "measure", "statistic", *INTERVAL, "interval")
)
#: measure → the sums of its cosines, and of those between states centred within their template
_SUMS = {
    CENTRED: (prompt_sums.CENTRED, prompt_sums.TEMPLATE),
    STANDARDISED: (prompt_sums.SCORED, prompt_sums.TEMPLATE_SCORED),
    RAW: (prompt_sums.RAW, ""),
}


def _read(
    gram: GramSource, branch: str, measure: str, *, within: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of cosines [cells, P, P] over all pairs of seeds, and over those of one seed."""
    name = _SUMS[measure][within]
    every, same = (prompt_sums.read_sums(gram, branch, name, pairs) for pairs in prompt_sums.PAIRS)
    return every, same


def _matrix(gram: GramSource, measure: str, branch: str, rows: np.ndarray) -> np.ndarray:
    """Cosines [n, n] of these samples' whole clips."""
    if measure != RAW:
        return cosine(window_products(gram, branch, rows=rows, standardised=measure == STANDARDISED))
    means = gram.read("window_mean", branch=branch, window="whole")[rows]
    return cosine(means @ means.T)


def _drawn(design: Design) -> np.ndarray:
    """The samples in the matrices of a figure: all, or in a large study equally many prompts of each label.

    Then a prompt has one sample.
    """
    if design.n_samples <= MOST_DRAWN:
        return np.arange(design.n_samples)
    labels = pd.Series(design.prompt_labels)
    turn = labels.groupby(labels).cumcount().to_numpy()  # within the label
    return np.sort(design.rows[np.argsort(turn, kind="stable")[:MOST_DRAWN], 0])


class _Pairs:
    """The pairs of prompts in each stratum, and their weights under resampling and relabeling."""

    def __init__(self, design: Design) -> None:
        self.design, self.pairs, self.units = design, PromptPairs(design), Units(design)
        named = design.numeric and "emotion" in design.samples
        labels = texts(design.samples["emotion"])[design.rows[:, 0]] if named else design.prompt_labels
        alike, may = np.equal.outer(labels, labels), self.pairs.exchangeable
        other = self.pairs.n_all - self.pairs.n_same
        #: stratum → its pairs of prompts, bool [P, P], and the pairs of samples in each
        self.members = {
            1: (np.eye(len(labels), dtype=bool), other),
            2: (alike & may, self.pairs.n_same),
            3: (alike & may, other),
            4: (~alike & may, self.pairs.n_same),
            5: (~alike & may, other),
        }
        self.distance = None if design.why_no_folds else Distance(design)
        self.tested = 3 if self.pairs.seeds_differ else 2

    def strata(
        self, sums: tuple[np.ndarray, np.ndarray], cells: pd.DataFrame, *, tests: bool
    ) -> list[pd.DataFrame]:
        """Rows of each stratum's mean cosine; with `tests`, intervals, and effects that are not of labels."""
        found = {k: self._mean(k, sums, intervals=tests) for k in STRATA}
        rows = [self._rows(cells, STRATA[k], (k,), *found[k]) for k in STRATA]
        effects = {name: pair for name, pair in EFFECTS.items() if name not in TESTED and tests}
        for name, (a, b) in effects.items():
            estimate, boots = (one - other for one, other in zip(found[a], found[b], strict=True))
            rows.append(self._rows(cells, name, (a, b), estimate, boots))
        return rows

    def label_effects(
        self, sums: tuple[np.ndarray, np.ndarray], cells: pd.DataFrame
    ) -> tuple[pd.DataFrame, list[Maxima]]:
        """Rows of the label's effects on cosines centred within templates, and the null maxima."""
        frames, maxima = [], []
        effects = CORRELATIONS if self.design.numeric else EFFECTS
        for name, (a, b) in effects.items():
            if name not in TESTED:
                continue
            if self.design.numeric:
                estimate, boots, weights, values = self._correlation(a, b, sums)
            else:
                (one, one_boots), (other, other_boots) = self._mean(a, sums), self._mean(b, sums)
                estimate, boots = one - other, one_boots - other_boots
                weights, values = self._weights(a, b), self._of(a, sums)
            frames.append(self._rows(cells, name, (a, b), estimate, boots))
            if a == self.tested:
                maxima += self._test(frames[-1], weights, values, sums)
        return pd.concat(frames, ignore_index=True), maxima

    def _of(self, stratum: int, sums: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """The sums [cells, P, P] that a stratum is from: of one seed, or of other seeds."""
        every, same = sums
        return same if stratum in (2, 4) else every - same

    def _mean(
        self, k: int, sums: tuple[np.ndarray, np.ndarray], *, intervals: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean cosine of a stratum [cells], and in every bootstrap [m, cells] where there are intervals."""
        pairs, n = self.members[k]
        values, mass = self.units.sums(pairs * self._of(k, sums)), self.units.sums(pairs * n)
        estimate = values.sum(axis=(1, 2)) / (mass.sum() or np.nan)
        return estimate, self.units.resampled(values, mass) if intervals else np.empty((0, len(values)))

    def _weights(self, a: int, b: int) -> np.ndarray:
        """Weights [P, P] of sums that give the difference of two strata's means; 0 if one is empty."""
        (alike, n), (unlike, _) = self.members[a], self.members[b]
        mass = (alike * n).sum(), (unlike * n).sum()
        return alike / mass[0] - unlike / mass[1] if all(mass) else np.zeros(alike.shape)

    def _correlation(self, a: int, b: int, sums: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
        """Correlate mean cosines with nearness: [cells], [m, cells]; weights and values for its null."""
        rating = self.design.targets[:, 0]
        pairs, n = self.members[a][0] | self.members[b][0], self.members[a][1]
        mass, away = pairs * n, np.abs(np.subtract.outer(rating, rating))
        total = mass.sum()
        values = self._of(a, sums) / np.maximum(n, 1)
        away = away - (mass * away).sum() / (total or 1)
        values = values - (mass * values).sum(axis=(1, 2), keepdims=True) / (total or 1)
        spread = np.sqrt((mass * away**2).sum() * (mass * values**2).sum(axis=(1, 2)))
        values = np.divide(values, spread[:, None, None], out=np.full(values.shape, np.nan), where=total > 0)
        weights = -mass * away
        moments = [
            self.units.resampled(self.units.sums(mass * one), self.units.sums(mass))
            for one in (values, values**2, away * values, away[None], away[None] ** 2)
        ]
        v, vv, av, d, dd = moments
        scale = np.sqrt(np.maximum((vv - v**2) * (dd - d**2), 0))
        boots = np.divide(d * v - av, scale, out=np.full(v.shape, np.nan), where=scale > 0)
        return (weights * values).sum(axis=(1, 2)), boots, weights, values

    def _test(
        self,
        table: pd.DataFrame,
        weights: np.ndarray,
        values: np.ndarray,
        sums: tuple[np.ndarray, np.ndarray],
    ) -> list[Maxima]:
        """Test Σ weights ∘ values by relabeling and by flips; write the results into the table."""
        null = np.full((self.design.n_permutations, len(values)), np.nan)
        if weights.any():
            null = permuted_sums(weights, values, self.design.prompt_permutations())
        contrasts = None
        if self.distance and self.distance.possible:
            contrasts = self.distance.contrasts(self.pairs.other_mean(*sums))
        moved = f"{self.design.label}s (cosines centred within templates, {self.pairs.compared})"
        why_not = "no two prompts, or all, share a label"
        how = {"why_not": why_not, "contrasts": contrasts, "moved": moved}
        return record_by_over(table, self.design, null, **how)

    def _rows(
        self, cells: pd.DataFrame, name: str, strata: tuple[int, ...], estimate: np.ndarray, boots: np.ndarray
    ) -> pd.DataFrame:
        why = np.where(np.isfinite(estimate), "an estimate, not tested", self._why_nan(strata))
        own = {"statistic": name, "null": [f"none: {one}" for one in why]}
        if not len(boots):
            own["interval"] = "none: a diagnostic"
        return estimates(cells, self.design, estimate, boots, self.design.resampled_units, **own)

    def _why_nan(self, strata: tuple[int, ...]) -> str:
        """Say why an estimate from these strata is NaN."""
        empty = [STRATA[k] for k in strata if not (self.members[k][0] * self.members[k][1]).any()]
        if self.design.numeric and strata in CORRELATIONS.values():
            return f"no pairs of prompts that differ in {self.design.label}, or all samples are equal"
        return f"no two samples are {empty[0]!r}" if empty else "all samples are equal (deterministic)"


_TESTED_WHOLE = {"measure": CENTRED, "over": "windows", "window": "whole"}
_TESTED_WHOLE |= {"statistic": [OTHER_SEED, RATING_OTHER_SEED]}
_EFFECT_FORMULA = (
    "mean cos(x, y) over pairs of one label − over pairs of two, other seeds, x and y "
    "less their template's mean"
)
_EFFECT_MEANS = (
    "mean cosine of pairs {alike} less that of pairs {unlike}, of other seeds and other templates (for "
    "ratings: correlation of cosine and nearness); 0 without an effect"
)
FINDINGS = (
    Finding(
        "Are two clips {alike} more alike than two clips {unlike}, in uncond, which reads no text?",
        "Yes, at {n_found} of {n_layers} layers: in layer {layer} by {effect} ({range} over layers).",
        _TESTED_WHOLE | {"branch": "uncond"},
        "emotion_effect",
        unit="cosine",
        meaning=_EFFECT_MEANS,
        formula=_EFFECT_FORMULA,
    ),
    Finding(
        QUESTIONS["delta"],
        "Yes, at {n_found} of {n_layers} layers: two clips {alike} are more alike than two {unlike}, in "
        "layer {layer} by {effect} ({range} over layers).",
        _TESTED_WHOLE | {"branch": "delta"},
        "emotion_effect",
        key="delta",
        unit="cosine",
        meaning=_EFFECT_MEANS,
        formula=_EFFECT_FORMULA,
    ),
)

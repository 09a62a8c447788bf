"""Valence and arousal: do the states hold ratings of the prompts, beyond the prompts' emotions?

k emotion centroids span k − 1 dimensions, in which *any* ratings of the emotions are linear. A fit to one
rating per emotion can therefore not fail, and is refused. Two tests can fail: ratings that differ between
prompts of one emotion, predicted on held-out templates; and a direction learned on two emotions that orders
two others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations

import numpy as np
import pandas as pd

from innerear.analyses import sound
from innerear.gram.reading import GramSource, window_products
from innerear.statistics.design import Design, Fold
from innerear.statistics.finding import HELD_OUT_R2, Finding
from innerear.statistics.significance import first_of, with_interval
from innerear.statistics.table import INTERVAL, LayerResult, blank, columns, record

SCALES = ("valence", "arousal")
WINDOW = "whole"
MAP_COLUMNS = ("statistic",)
FAMILY = "layers × branches × targets"
GRADED, CROSSED = sound.HELD_OUT, "cross-condition AUC"
# Ratings that differ by less are equal.
_EQUAL = 1e-6
#: of more emotions than these, renamings are drawn
MAX_NAMES = 6
_RENAMINGS = 5  # a stream of random numbers of their own, apart from those of `Design`


@dataclass(frozen=True)
class Pairing:
    """Two pairs of emotions, four different ones, each (higher, lower): one is learned, the other tested.

    Examples
    --------
    >>> print(Pairing(("energetic", "sad"), ("happy", "calm")))
    energetic/sad ↔ happy/calm
    """

    first: tuple[str, str]
    second: tuple[str, str]

    def __str__(self) -> str:
        return f"{'/'.join(self.first)} ↔ {'/'.join(self.second)}"


def of_layer(gram: GramSource, design: Design) -> LayerResult:
    """Test valence and arousal in one layer's states, averaged over the clip.

    The design's labels are emotions, its sheet holds the ratings. Statistics, per branch and scale:

    - *held-out R²* of graded ratings (`sound.of_layer`). If ratings lie close to one value per emotion, much
      of it can be reached from the emotions alone. One rating per emotion is refused: NaN, with the reason.
    - *cross-condition AUC* (after Bernardi et al. 2020): the difference of the mean states of two
      emotions, learned on the training templates, orders samples of two other emotions in a held-out
      template; 1 is always as rated, .5 is chance. Both directions and all `pairings`, averaged. Pairs
      are taken from the ratings; each differs more in this scale than in the other.

    Two p-values belong to the AUC, and `p` is the larger. `p_labels` permutes labels within templates: do
    the states tell emotions apart at all? Strong emotions without any common axis pass that test too often,
    because random centroids have some angle. `p_names` is the share of ways to rename the emotions, in all
    templates at once, that do as well. Four emotions in one pairing have 6 different renamings: p ≥ 1/6, and
    they are not enough. `p_labels` is corrected by max-T, `p_names` by the number of tests.
    """
    ratings = {scale: _ratings(design, scale) for scale in SCALES}
    graded, crossed = _graded(gram, design, ratings), _crossed(gram, design, ratings)
    table = pd.concat([graded.table, crossed.table], ignore_index=True).assign(window=WINDOW)
    maxima = [*graded.maxima, *crossed.maxima]
    return LayerResult(finish(table), maxima=maxima, remarks=graded.remarks)


_OWN = (
    *("branch", "window", "target", "statistic", "pairing", "other_scale"),
    *(*INTERVAL, "interval", "p_labels", "p_names", "n_names"),
)
COLUMNS = columns(*_OWN)


def finish(table: pd.DataFrame) -> pd.DataFrame:
    """Make p the larger of `p_labels` and `p_names`, where both were tested; the same corrected."""
    p, labels, ways, family_wise = (
        table[name].to_numpy(float) for name in ("p", "p_labels", "p_names", "p_corrected")
    )
    both = np.isfinite(p) & np.isfinite(ways)
    corrected = np.minimum(ways * both.sum(), 1)
    return table.assign(
        p=np.where(both, np.maximum(labels, ways), p),
        p_corrected=np.where(both, np.maximum(family_wise, corrected), family_wise),
    )


def _ratings(design: Design, scale: str) -> np.ndarray:
    """Ratings [P]; NaN where there is none."""
    if scale not in design.samples:
        return np.full(design.n_prompts, np.nan)
    return design.samples[scale].to_numpy(float)[design.rows[:, 0]]


def _unrated(ratings: np.ndarray, design: Design) -> str:
    """Name a prompt without a rating; empty where all have one."""
    missing = ~np.isfinite(ratings)
    return f"prompt {str(design.prompts[missing.argmax()])!r} has no rating" if missing.any() else ""


def _by_emotion(ratings: np.ndarray, design: Design) -> dict[str, float]:
    labels = design.prompt_labels
    return {str(name): float(ratings[labels == name].mean()) for name in np.unique(labels)}


def why_not_graded(ratings: np.ndarray, design: Design) -> str:
    """Say why a fit to ratings [P] means nothing; empty where it does."""
    unrated = _unrated(ratings, design)
    if unrated:
        return unrated
    spreads = [np.ptp(ratings[design.prompt_labels == name]) for name in np.unique(design.prompt_labels)]
    if max(spreads) > _EQUAL:
        return ""
    k = len(spreads)
    return (
        f"one rating per {design.label}: {k} centroids span {k - 1} dimensions, in which any ratings are "
        "linear, so that a fit cannot fail; rate the prompts one by one"
    )


def _graded(gram: GramSource, design: Design, ratings: dict[str, np.ndarray]) -> LayerResult:
    """Rows of the held-out R² of each scale."""
    kept, tables, remarks = {}, [], []
    for scale, values in ratings.items():
        why = why_not_graded(values, design)
        if why:
            rows = {"branch": gram.labels("branch"), "statistic": GRADED, "target": scale}
            tables.append(blank(rows, design, null=f"none: {why}"))
            remarks.append(f"{scale} is not fitted: {why}")
        else:
            kept[scale] = values
    if not kept:
        return LayerResult(pd.concat(tables, ignore_index=True), remarks=remarks)
    of_samples = {scale: values[design.prompt_of] for scale, values in kept.items()}
    clips = pd.DataFrame({"sample_id": design.samples["sample_id"]} | of_samples)
    clips = clips.melt("sample_id", var_name="feature").assign(unit="", reason="")
    result = sound.of_layer(gram, design, clips, windows=[WINDOW], what="ratings")
    # Nothing can be asked beyond the label: ratings belong to emotions.
    table = result.table.query("statistic == @GRADED").rename(columns={"feature": "target"})
    tables.append(table.assign(family=table["family"].str.replace("features", "targets")))
    maxima = [one for one in result.maxima if one[0]["statistic"] == GRADED]
    return LayerResult(pd.concat(tables, ignore_index=True), maxima=maxima, remarks=remarks)


def pairings(ratings: dict[str, np.ndarray], scale: str, design: Design) -> list[Pairing]:
    """Find pairs of pairs of emotions in which each pair differs more in this scale than in any other.

    `ratings` are scale → [P]; scales with a rating missing are left out.
    """
    rated = {name: _by_emotion(one, design) for name, one in ratings.items() if np.isfinite(one).all()}
    if scale not in rated:
        return []
    own, others = rated.pop(scale), rated.values()
    pairs = []
    for one, two in combinations(own, 2):
        high, low = (one, two) if own[one] > own[two] else (two, one)
        most = max((abs(other[high] - other[low]) for other in others), default=0.0)
        if own[high] - own[low] > most + _EQUAL:
            pairs.append((high, low))
    return [Pairing(a, b) for a, b in combinations(pairs, 2) if not set(a) & set(b)]


def _crossed(gram: GramSource, design: Design, ratings: dict[str, np.ndarray]) -> LayerResult:
    """Rows of the cross-condition AUC of each scale."""
    chosen = {scale: pairings(ratings, scale, design) for scale in SCALES}
    rows, null = [], []
    for branch in gram.labels("branch"):
        kernel = window_products(gram, branch, WINDOW).astype(float)
        crossing = _CrossCondition(kernel, design)
        for scale, found in chosen.items():
            where = {"branch": branch, "statistic": CROSSED, "target": scale}
            why = crossing.why_not or ("" if found else _why_no_pairing(ratings, scale, design))
            if why:
                rows.append(where | {"null": f"none: {why}"})
                continue
            others = "; ".join(_others(ratings, scale, one, design) for one in found)
            rows.append(where | crossing.row(found) | {"other_scale": others, "null": ""})
            null.append(crossing.null(found))
    table, maxima = blank(pd.DataFrame(rows, columns=[*_OWN, "null"]), design), []
    if null:
        estimate = table["estimate"].to_numpy(float)
        mine, found = np.flatnonzero(np.isfinite(estimate)), np.stack(null, axis=1)
        family = "branches × targets of this layer"
        maxima = record(table, mine, design, estimate[mine], found, family=family, standardise=False)
        tested = table["p"].notna()
        table["p_labels"] = table["p"]
        table["min_p"] = np.maximum(table["min_p"], 1 / table["n_names"])
        table.loc[tested, "null"] += f"; and {design.label}s renamed"
    return LayerResult(table, maxima=maxima)


def _why_no_pairing(ratings: dict[str, np.ndarray], scale: str, design: Design) -> str:
    pairs = f"no four {design.label}s make two pairs that each differ more in {scale} than in the other scale"
    return _unrated(ratings[scale], design) or pairs


def _others(ratings: dict[str, np.ndarray], scale: str, pairing: Pairing, design: Design) -> str:
    """Say how the two pairs differ in the other scales, which may explain what is found."""
    parts = []
    for name, values in ratings.items():
        if name != scale and np.isfinite(values).all():
            means = _by_emotion(values, design)
            steps = [means[high] - means[low] for high, low in (pairing.first, pairing.second)]
            parts.append(f"{name} {steps[0]:+.2g} and {steps[1]:+.2g}")
    return "; ".join(parts)


class _CrossCondition:
    """Directions learned on two emotions, tried on two others, all in terms of one kernel [N, N]."""

    def __init__(self, kernel: np.ndarray, design: Design) -> None:
        self.kernel, self.design = kernel, design
        self.why_not = design.why_no_folds if kernel.any() else "all samples are equal (deterministic)"
        self.folds = [] if self.why_not else design.folds()

    def row(self, pairings: list[Pairing]) -> dict[str, object]:
        """Columns of one row, without p from permutations."""
        found = [self._comparisons(pairing) for pairing in pairings]
        i, j, as_rated = (np.concatenate(one) for one in zip(*found, strict=True))
        weights = self.design.bootstraps().pairs(i, j)
        total = weights.sum(axis=1)
        boots = np.divide(weights @ as_rated, total, out=np.full(len(total), np.nan), where=total > 0)
        estimate = as_rated.mean(keepdims=True)
        p_names, n_names = self._renamed(pairings)
        row = {"pairing": "; ".join(map(str, pairings)), "p_names": p_names, "n_names": n_names}
        return row | first_of(with_interval(estimate, boots[:, None], self.design.resampled))

    def null(self, pairings: list[Pairing]) -> np.ndarray:
        """AUC [m] under every permutation of the labels."""
        labels = self.design.labels[self.design.permutations()]  # [m, N]
        return np.mean([self._auc(pairing, labels) for pairing in pairings], axis=0)

    @cached_property
    def _of_sorted(self) -> dict[frozenset, float]:
        """AUC of every two disjoint pairs of emotions, both in alphabetical order."""
        names, labels = [str(name) for name in np.unique(self.design.labels)], self.design.labels[None]
        pairs = list(combinations(names, 2))
        return {
            frozenset((one, two)): float(self._auc(Pairing(one, two), labels)[0])
            for one, two in combinations(pairs, 2)
            if not set(one) & set(two)
        }

    def _renamed(self, pairings: list[Pairing]) -> tuple[float, int]:
        """Share of renamings of the emotions that give at least this AUC, and how many of them differ."""
        names = [str(name) for name in np.unique(self.design.labels)]
        renamings = [names, *permutations(names)]
        if len(names) > MAX_NAMES:
            rng = np.random.default_rng([self.design.seed, _RENAMINGS])
            renamings = [names, *(rng.permutation(names).tolist() for _ in range(999))]
        kinds, aucs = [], []
        for one in renamings:
            to = dict(zip(names, one, strict=True))
            kind = [_sorted_pairs(pairing, to) for pairing in pairings]
            kinds.append(frozenset(kind))
            found = [(self._of_sorted[key], same) for key, same in kind]
            aucs.append(np.mean([auc if same else 1 - auc for auc, same in found]))
        first = 1 if len(names) <= MAX_NAMES else 0  # all permutations hold the study's own names
        as_good = np.mean(np.array(aucs[first:]) >= aucs[0] - _EQUAL)
        return float(as_good), len(set(kinds))

    def _auc(self, pairing: Pairing, labels: np.ndarray) -> np.ndarray:
        """AUC [m] of labels [m, N], over both directions and all held-out pairs of samples of a fold."""
        right, total = np.zeros(len(labels)), np.zeros(len(labels))
        for learned, tried, fold in self._trials(pairing):
            scores = self._scores(learned, labels, fold)
            high, low = ((labels[:, fold.test] == name).astype(float) for name in tried)  # [m, test]
            order = np.sign(scores[:, :, None] - scores[:, None]) / 2 + 0.5  # [m, test, test]
            right += np.einsum("mi,mij,mj->m", high, order, low, optimize=True)
            total += high.sum(axis=1) * low.sum(axis=1)
        return np.divide(right, total, out=np.full(len(labels), np.nan), where=total > 0)

    def _trials(self, pairing: Pairing) -> Iterator[tuple[tuple[str, str], tuple[str, str], Fold]]:
        """Yield the pair to learn, the pair to order, and the fold, in both directions."""
        for learned, tried in ((pairing.first, pairing.second), (pairing.second, pairing.first)):
            yield from ((learned, tried, fold) for fold in self.folds)

    def _scores(self, learned: tuple[str, str], labels: np.ndarray, fold: Fold) -> np.ndarray:
        """Project test samples on the difference of two emotions' mean states, [m, test]."""
        weights = np.zeros((len(labels), len(fold.train)))
        for name, sign in zip(learned, (1, -1), strict=True):
            members = (labels[:, fold.train] == name).astype(float)
            weights += sign * members / np.maximum(members.sum(axis=1, keepdims=True), 1)
        return weights @ self.kernel[np.ix_(fold.train, fold.test)]

    def _comparisons(self, pairing: Pairing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of held-out samples i, j, and whether they are ordered as rated: 1, 0, or ½ for a tie."""
        labels, found = self.design.labels, []
        for learned, tried, fold in self._trials(pairing):
            scores = self._scores(learned, labels[None], fold)[0]
            high, low = (np.flatnonzero(labels[fold.test] == name) for name in tried)
            a, b = (one.ravel() for one in np.meshgrid(high, low))
            found.append((fold.test[a], fold.test[b], np.sign(scores[a] - scores[b]) / 2 + 0.5))
        i, j, as_rated = (np.concatenate(one) for one in zip(*found, strict=True))
        return i, j, as_rated


def _sorted_pairs(pairing: Pairing, to: dict[str, str]) -> tuple[frozenset, bool]:
    """Rename a pairing; return its two pairs in alphabetical order, and whether both were or neither."""
    one, two = (tuple(to[name] for name in pair) for pair in (pairing.first, pairing.second))
    turned = (one[0] > one[1]) != (two[0] > two[1])
    return frozenset((tuple(sorted(one)), tuple(sorted(two)))), not turned


FINDINGS = (
    Finding(
        "Are graded ratings of valence or arousal in the states?",
        "Yes, at {n_found} of {n_layers} layers: states of held-out templates predict {target}, {effect} in "
        "layer {layer} of {branch}.",
        {"statistic": GRADED},
        "affect",
        meaning="held-out R² of the rating; 0 or less without an effect",
        formula=HELD_OUT_R2,
    ),
    Finding(
        "Does a direction of valence or arousal carry over to other emotions?",
        "Yes, at {n_found} of {n_layers} layers: in layer {layer} of {branch} the direction of {target} that "
        "two emotions give orders two others, {effect}.",
        {"statistic": CROSSED},
        "affect",
        unit="order",
        chance=0.5,
        meaning="share of pairs of clips of two other emotions, in a held-out template, that are "
        "ordered as rated",
        formula="pairs of clips whose projections stand in the order of their ratings ÷ pairs; ties "
        "count half",
    ),
)

"""Shares of a layer's variance over codes, texts and clips, with bootstraps and permutation nulls.

Within a template all follows from products between seeds, across templates from products between templates;
every permutation is a row of one matrix product.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from innerear.analyses.text_or_history.across_templates import DELTA, cross_probes
from innerear.analyses.text_or_history.cells import (
    COMPONENTS,
    HISTORY,
    INTERACTION,
    MEAN,
    ON_POLICY,
    TEXT,
    PairProducts,
    ReplayedTemplate,
    block_numbers,
    relabeled,
    template_products,
)
from innerear.statistics.design.flips import agreeing, flipped_sums
from innerear.statistics.design.template_contrasts import odd_flips
from innerear.statistics.significance import MAX_DROPPED

CLIP, LEAD, LENGTH = "clip", "history − text", "‖delta‖ ÷ ‖cond‖"
SHUFFLED, GENERAL = ", pairing shuffled", ", general"
SHARE, ACCURACY = "share of variance", "balanced accuracy"
_ALONE = "permuted within template and seed, in each seed by itself"


@dataclass(frozen=True)
class Measure:
    """One statistic at all times: the complete steps, then the windows; or at the windows only.

    Attributes
    ----------
    name, unit, branch, chance : for the table; chance is NaN where it is 0 or unknown.
    estimate : [times]; boots : [m, times], none where there is no interval; resampled : what they resample.
    null : [m, times] under permutations, or None where it is not tested.
    moved, of : what they exchange, and which they are, as for `record`.
    flipped : [m', times] under sign flips of templates, observed first, or None.
    agree : [times] how many templates agree.
    """

    name: str
    estimate: np.ndarray
    boots: np.ndarray
    resampled: str
    null: np.ndarray | None = None
    moved: str = ""
    of: str = "clips"
    unit: str = SHARE
    branch: str = "cond"
    chance: float = float("nan")
    flipped: np.ndarray | None = None
    agree: np.ndarray | None = None


def probe_name(trained: str, tested: str) -> str:
    """Name the statistic of a probe.

    Examples
    --------
    >>> probe_name(HISTORY, TEXT)
    'probe history → text'
    """
    return f"probe {trained} → {tested}"


class Resamples:
    """Bootstraps of templates, then seeds, as weights that sum to 1; NaN where nothing is left.

    Attributes
    ----------
    templates [m, T], seeds [m, R], seed_pairs, template_pairs [m, pairs] of two different ones : the weights;
        m is 0 where nothing is left to resample.
    text : what is resampled. Seeds stay as they are where each template has its own, and if many resamples
        would hold one only, which cannot be cross-validated.
    """

    def __init__(self, templates: Sequence[ReplayedTemplate]) -> None:
        design = templates[0].design
        boots, what = design.bootstraps(), []
        units, seeds = np.ones((len(boots), len(templates))), np.ones_like(boots.seeds)
        if design.blocked:
            units = boots.units[:, [design.block_of[one.prompts[0]] for one in templates]]
            what.append("templates")
        if not design.own_seeds and ((boots.seeds > 0).sum(axis=1) < 2).mean() <= MAX_DROPPED:
            seeds = boots.seeds
            what.append("seeds")
        self.text = ", then ".join(what)
        counts = [one if what else one[:0] for one in (units, seeds)]
        self.templates, self.seeds = map(_normalised, counts)
        pairs = [np.triu_indices(one.shape[1], 1) for one in counts]
        self.template_pairs, self.seed_pairs = (
            _normalised(one[:, i] * one[:, j]) for one, (i, j) in zip(counts, pairs, strict=True)
        )

    def pooled(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Average over templates in every bootstrap, [m, times], of each one's [m, times] (or [times])."""
        return np.sum([self.templates[:, t, None] * one for t, one in enumerate(values)], axis=0)

    def averaged(self, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Average [R, times] of each template over templates and seeds: [times], in bootstraps [m, times]."""
        return np.mean(values, axis=(0, 1)), self.pooled([self.seeds @ one for one in values])


def _normalised(counts: np.ndarray) -> np.ndarray:
    counts = counts.astype(float)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


class Shares:
    """All components of one layer, from templates of the same emotions and two seeds or more."""

    def __init__(self, templates: Sequence[ReplayedTemplate]) -> None:
        self.templates, self.design = templates, templates[0].design
        self.m = self.design.n_permutations
        self.parts = [template_products(one) for one in templates]
        self.resamples = Resamples(templates)
        total = np.mean([part.total for part in self.parts], axis=0)
        energy = np.mean([part.cond.mean(axis=0) for part in self.parts], axis=0)
        # What float32 leaves of equal states is no variance.
        self.total = np.where(total > 1e-9 * energy, total, np.nan)
        pairs, seeds = self.resamples.seed_pairs, self.resamples.seeds
        self.total_boots = self.resamples.pooled(
            [seeds @ part.energy - pairs @ part.products[MEAN].matched for part in self.parts]
        )
        names = [name for name in self.parts[0].products if all(name in part.products for part in self.parts)]
        #: estimate [times] and bootstraps [m, times] of each component that all templates have
        self.found = {name: self._share(name) for name in names if name != MEAN}

    def _share(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        products = [part.products[name] for part in self.parts]
        boots = self.resamples.pooled([self.resamples.seed_pairs @ one.matched for one in products])
        estimate = self._relative(np.mean([one.estimate for one in products], axis=0))
        return estimate, boots / self.total_boots

    def _relative(self, values: np.ndarray) -> np.ndarray:
        # Rounded: what differs only by the rounding of the stored products is a tie.
        return (values / self.total).round(6)

    def within(self) -> list[Measure]:
        """Return the components within templates, and the length of delta."""
        resamples, found = self.resamples, self.found
        history, text = (self._drawn(self.m, of) for of in (HISTORY, TEXT))
        both = [_crossed(h, t) for h, t in zip(history, text, strict=True)]
        tests = {
            TEXT: (self._null(TEXT, text), f"texts {_ALONE}"),
            HISTORY: (self._null(HISTORY, history), f"clips {_ALONE}"),
            INTERACTION: (self._null(INTERACTION, both), f"clips and texts {_ALONE}"),
            ON_POLICY: (self._null(ON_POLICY, history), f"clips {_ALONE}"),
        }
        # A control: clips are paired with emotions anew, once.
        control = self._null(HISTORY, self._drawn(1, "control"))
        rest, rest_boots = (1 - np.sum([found[name][i] for name in COMPONENTS], axis=0) for i in (0, 1))
        lead, lead_boots = (found[HISTORY][i] - found[TEXT][i] for i in (0, 1))
        delta, delta_boots = resamples.averaged([part.delta for part in self.parts])
        cond, cond_boots = resamples.averaged([part.cond for part in self.parts])
        length, length_boots = np.sqrt(delta / cond), np.sqrt(delta_boots / cond_boots)
        untested, unit = (None, ""), "ratio of root mean squares"
        return [
            *(
                replace(
                    Measure(name, *one, resamples.text, *tests.get(name, untested)),
                    **(self._flips(name) if name in tests else {}),
                )
                for name, one in found.items()
            ),
            Measure(HISTORY + SHUFFLED, control[0], control[:0], "", *tests[HISTORY]),
            Measure(CLIP, rest, rest_boots, resamples.text),
            Measure(LEAD, lead, lead_boots, resamples.text),
            Measure(LENGTH, length, length_boots, resamples.text, unit=unit, branch="delta"),
        ]

    def _drawn(self, m: int, of: str) -> list[np.ndarray]:
        """The emotion that replaces each emotion in each template, int [m, R, E]."""
        permutations = self.design.clip_permutations(m, of)
        return [one.local(permutations) for one in self.templates]

    def _null(self, name: str, moved: Sequence[np.ndarray]) -> np.ndarray:
        parts = [part.products[name].null(rows) for part, rows in zip(self.parts, moved, strict=True)]
        return self._relative(np.mean(parts, axis=0))

    def _flips(self, name: str) -> dict[str, np.ndarray]:
        """Flip the signs of templates' components: without an effect either sign is as likely."""
        if self.design.why_no_flips():
            return {}
        by_template = np.stack([part.products[name].estimate for part in self.parts])  # [T, times]
        signs = odd_flips(self.design)[:, block_numbers(self.templates)]
        flipped = self._relative(signs @ by_template / len(by_template))
        return {"flipped": flipped, "agree": (by_template > 0).sum(axis=0)}

    def general(self, products: Mapping[str, PairProducts]) -> list[Measure]:
        """Return the components that templates have in common, from `general_codes`."""
        moved = relabeled(self.templates)  # [m, T, E]
        rows = {TEXT: moved, HISTORY: moved, INTERACTION: _crossed(moved, moved)}
        total = self.resamples.pooled([part.total for part in self.parts])
        labels, measures = f"{self.design.label}s", []
        for name, one in products.items():
            boots = self.resamples.template_pairs @ one.matched / total
            estimate, null = self._relative(one.estimate), self._relative(one.null(rows[name]))
            measure = Measure(name + GENERAL, estimate, boots, "templates", null, labels, of="labels")
            measures.append(replace(measure, **self._general_flips(one)))
        return measures

    def _general_flips(self, products: PairProducts) -> dict[str, np.ndarray]:
        """Flip the signs of templates, in the products of every two of them."""
        if self.design.why_no_flips():
            return {}
        n = len(self.templates)
        i, j = np.triu_indices(n, 1)
        between = np.zeros((len(products.values), n, n))
        between[:, i, j] = between[:, j, i] = products.matched.T / (2 * len(i))
        signs = self.design.flips()[:, block_numbers(self.templates)]
        return {"flipped": self._relative(flipped_sums(between, signs)), "agree": agreeing(between)}

    def probes(self, windows: Mapping[str, np.ndarray]) -> list[Measure]:
        """Return how well emotions are read on held-out templates, in windows only."""
        labels, measures = f"{self.design.label}s", []
        chance = 1 / len(self.templates[0].emotions)
        for trained, tested, by_template, null in cross_probes(windows, self.templates):
            accuracy, boots = by_template.mean(axis=0), self.resamples.templates @ by_template
            moved, of = f"{labels} of {tested} renamed alike in all templates", "names"
            if trained == tested:
                moved, of = labels, "labels"
            name, branch = probe_name(trained, tested), "delta" if trained == DELTA else "cond"
            measures.append(
                Measure(name, accuracy, boots, "templates", null, moved, of, ACCURACY, branch, chance)
            )
        return measures


def _crossed(history: np.ndarray, text: np.ndarray) -> np.ndarray:
    """The cell, among E², that replaces cell (a, b), [..., E²], under history and text permuted, [..., E]."""
    n = history.shape[-1]
    return (history[..., :, None] * n + text[..., None, :]).reshape(*history.shape[:-1], n * n)

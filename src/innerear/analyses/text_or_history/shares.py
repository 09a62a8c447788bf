"""Shares of a layer's variance over codes, texts and clips, with bootstraps and permutation nulls.

Within a template all follows from products between seeds, across templates from products between templates;
every permutation is a row of one matrix product.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from innerear.analyses.text_or_history.across_templates import DELTA, PROBES, CrossProbes, GeneralCodes
from innerear.analyses.text_or_history.cells import (
    HISTORY,
    INTERACTION,
    MEAN,
    ON_POLICY,
    TEXT,
    ReplayedTemplate,
    relabeled,
    template_products,
)
from innerear.statistics.design import Design
from innerear.statistics.significance import MAX_DROPPED

CLIP, LEAD, LENGTH = "clip", "history − text", "‖delta‖ ÷ ‖cond‖"
SHUFFLED, GENERAL = ", pairing shuffled", ", general"
COMPONENTS = (TEXT, HISTORY, INTERACTION)
SHARE, ACCURACY = "share of variance", "balanced accuracy"
_ALONE = "permuted within template and seed, in each seed by itself"
_MOVED = {
    TEXT: f"texts {_ALONE}",
    HISTORY: f"clips {_ALONE}",
    INTERACTION: f"clips and texts {_ALONE}",
    ON_POLICY: f"clips {_ALONE}",
}


@dataclass(frozen=True)
class Measure:
    """One statistic at all times: the complete steps, then the windows.

    Attributes
    ----------
    name, unit, branch, chance : for the table; chance is NaN where it is 0 or unknown.
    estimate : [times]; boots : [m, times], none where there is no interval; resampled : what they resample.
    null : [m, times] under permutations, or None where it is not tested; moved : says what they exchange.
    of : which permutations they are, as for `Design.smallest_p`.
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
    templates : [m, T]; seeds : [m, R]; seed_pairs, template_pairs : [m, pairs] of two different ones.
    text : what is resampled. With so few seeds that many resamples would hold a single one, which cannot be
        cross-validated, seeds stay as they are. n : m, or 0 where nothing is left to resample.
    """

    def __init__(self, design: Design, templates: Sequence[ReplayedTemplate], n_bootstraps: int) -> None:
        boots = design.bootstraps(n_bootstraps)
        blocks = [one.block for one in templates]
        units = boots.units[:, blocks] if design.blocked else np.ones((n_bootstraps, len(templates)))
        seeds = boots.seeds
        fixed = ((seeds > 0).sum(axis=1) < 2).mean() > MAX_DROPPED
        seeds = np.ones_like(seeds) if fixed else seeds
        what = [*(["templates"] if design.blocked else []), *([] if fixed else ["seeds"])]
        self.text, self.n = ", then ".join(what), n_bootstraps if what else 0
        self.templates, self.seeds = _normalised(units), _normalised(seeds)
        self.template_pairs, self.seed_pairs = (_normalised(_pair_counts(one)) for one in (units, seeds))

    def pooled(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Average over templates in every bootstrap, [m, times], of each one's [m, times] (or [times])."""
        return np.sum([self.templates[:, t, None] * one for t, one in enumerate(values)], axis=0)


def _pair_counts(counts: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(counts.shape[1], 1)
    return counts[:, i] * counts[:, j]


def _normalised(counts: np.ndarray) -> np.ndarray:
    counts = counts.astype(float)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


class Shares:
    """All components of one layer.

    Parameters
    ----------
    templates : of the same emotions; design : of two seeds or more.
    n_permutations, n_bootstraps : rows of the design's tables to use.
    """

    def __init__(
        self, templates: Sequence[ReplayedTemplate], design: Design, n_permutations: int, n_bootstraps: int
    ) -> None:
        self.templates, self.design, self.m = templates, design, n_permutations
        self.parts = [template_products(one) for one in templates]
        self.resamples = Resamples(design, templates, n_bootstraps)
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
        return estimate, (boots / self.total_boots)[: self.resamples.n]

    def _relative(self, values: np.ndarray) -> np.ndarray:
        # Rounded: what differs only by the rounding of the stored products is a tie.
        return (values / self.total).round(6)

    # ---- within templates ---------------------------------------------------------------------

    def within(self) -> list[Measure]:
        """Return the components within templates, and the length of delta."""
        measures, moved, resampled = [], self._moved(), self.resamples.text
        nulls = {name: self._null(name, rows) for name, rows in moved.items()}
        for name, (estimate, boots) in self.found.items():
            measures.append(Measure(name, estimate, boots, resampled, nulls.get(name), _MOVED.get(name, "")))
        # A control: clips are paired with emotions anew, once.
        anew = self.design.clip_permutations(1, "control")
        control = self._null(HISTORY, [one.local(anew) for one in self.templates])[0]
        nothing = np.empty((0, len(control)))
        rest, rest_boots = (1 - np.sum([self.found[name][i] for name in COMPONENTS], axis=0) for i in (0, 1))
        lead, lead_boots = (self.found[HISTORY][i] - self.found[TEXT][i] for i in (0, 1))
        return [
            *measures,
            Measure(HISTORY + SHUFFLED, control, nothing, "", nulls[HISTORY], _MOVED[HISTORY]),
            Measure(CLIP, rest, rest_boots, resampled),
            Measure(LEAD, lead, lead_boots, resampled),
            self._length(),
        ]

    def _moved(self) -> dict[str, list[np.ndarray]]:
        """Which deviation stands in for which, component → int [m, R, Q] of each template."""
        drawn = {of: self.design.clip_permutations(self.m, of) for of in (HISTORY, TEXT)}
        history, text = ([one.local(drawn[of]) for one in self.templates] for of in (HISTORY, TEXT))
        both = [_crossed(h, t) for h, t in zip(history, text, strict=True)]
        return {TEXT: text, HISTORY: history, INTERACTION: both, ON_POLICY: history}

    def _null(self, name: str, moved: Sequence[np.ndarray]) -> np.ndarray:
        parts = [part.products[name].null(rows) for part, rows in zip(self.parts, moved, strict=True)]
        return self._relative(np.mean(parts, axis=0))

    def _length(self) -> Measure:
        means, boots = [], []
        for values in ([part.delta for part in self.parts], [part.cond for part in self.parts]):  # [R, times]
            means.append(np.mean([one.mean(axis=0) for one in values], axis=0))
            boots.append(self.resamples.pooled([self.resamples.seeds @ one for one in values]))
        ratio, drawn = np.sqrt(means[0] / means[1]), np.sqrt(boots[0] / boots[1])[: self.resamples.n]
        unit = "ratio of root mean squares"
        return Measure(LENGTH, ratio, drawn, self.resamples.text, unit=unit, branch="delta")

    # ---- across templates ---------------------------------------------------------------------

    def general(self, codes: GeneralCodes) -> list[Measure]:
        """Return the components that templates have in common."""
        moved = relabeled(self.templates, self.design, self.m)  # [m, T, E]
        rows = {TEXT: moved, HISTORY: moved, INTERACTION: _crossed(moved, moved)}
        total = self.resamples.pooled([part.total for part in self.parts])
        moved_text, measures = self.design.null_text(self.m, f"{self.design.label}s"), []
        for name, one in codes.products.items():
            boots = self._of_templates(self.resamples.template_pairs @ one.matched / total)
            estimate, null = self._relative(one.estimate), self._relative(one.null(rows[name]))
            measures.append(
                Measure(name + GENERAL, estimate, boots, "templates", null, moved_text, of="labels")
            )
        return measures

    def probes(self, codes: GeneralCodes, n_steps: int) -> list[Measure]:
        """Return how well emotions are read on held-out templates, in windows (NaN at the steps)."""
        probes = CrossProbes(codes.windows, self.templates, self.design)
        label, measures = f"{self.design.label}s", []
        chance = 1 / len(self.templates[0].emotions)
        for trained, tested in PROBES:
            decoded = probes.decode(trained, tested, self.m)
            boots = np.einsum("mt,tw->mw", self.resamples.templates, decoded.by_template)
            at_windows = (decoded.accuracy, self._of_templates(boots), decoded.null)
            accuracy, boots, null = (_after_steps(values, n_steps) for values in at_windows)
            moved, of = f"{label} of {tested} renamed alike in all templates", "names"
            if trained == tested:
                moved, of = self.design.null_text(self.m, label), "labels"
            name, branch = probe_name(trained, tested), "delta" if trained == DELTA else "cond"
            measures.append(
                Measure(name, accuracy, boots, "templates", null, moved, of, ACCURACY, branch, chance)
            )
        return measures

    def _of_templates(self, boots: np.ndarray) -> np.ndarray:
        return boots if self.design.blocked else boots[:0]


def _crossed(history: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Which of the E² cells stands in for cell (a, b), [..., E²], if history and text move thus, [..., E]."""
    n = history.shape[-1]
    return (history[..., :, None] * n + text[..., None, :]).reshape(*history.shape[:-1], n * n)


def _after_steps(values: np.ndarray, n_steps: int) -> np.ndarray:
    """Put values [..., W] of the windows after NaN for the steps, [..., times]."""
    return np.concatenate([np.full((*values.shape[:-1], n_steps), np.nan), values], axis=-1)

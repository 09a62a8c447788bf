"""Sign flips of whole templates: a second null, which does not ask that all labels are equally dispersed.

Permuting labels within templates also rejects where labels differ in spread alone. Under a sign flip each
template keeps its contrasts between labels and only their sign is drawn anew. That is exact where templates
are independent and a template's contrasts are as likely as their opposites.
"""

import hashlib
from functools import cached_property

import numpy as np

from innerear.statistics.design.sheet import Sheet
from innerear.study.power import FEWEST_TEMPLATES, smallest_flip_p

# The use of the study's seed, beside those in `sheet`.
_FLIPS = 7
# With fewer signs their vectors can be numbered, and drawn by number.
_WORD = 60
# Products below this share of a cell's largest are rounding.
_NOTHING = 1e-9


class Flips(Sheet):
    """A sheet with contrasts of templates that can change sign."""

    @cached_property
    def n_templates(self) -> int:
        """Number of templates, the n of a sign flip; 0 where templates are no blocks."""
        return self.n_blocks if self.blocked else 0

    def why_no_flips(self) -> str:
        """Say why signs cannot be flipped; empty where they can."""
        if self.n_permutations < 1:
            return "no permutations were asked for"
        if self.n_templates < FEWEST_TEMPLATES:
            return f"{self.n_templates} templates: sign flips need at least {FEWEST_TEMPLATES}"
        return ""

    def smallest_flip_p(self, m: int | None = None) -> float:
        """Return the smallest p that flips can reach, 2^(1 − T) or 1 / (m + 1); NaN where `why_no_flips`."""
        m = self.n_permutations if m is None else m
        return float("nan") if self.why_no_flips() else smallest_flip_p(self.n_templates, m)

    def flips(self, m: int | None = None) -> np.ndarray:
        """Return signs of templates, int8 [m', T] of ±1; row 0 is all ones.

        All 2^(T − 1) sign vectors whose first sign is +1, if these are at most m + 1 (T ≤ 10 for m = 1,000);
        else the identity and m others, drawn without repetition. The statistics are even: a vector and its
        opposite give the same.

        Examples
        --------
        >>> samples = pd.DataFrame({"sample_id": list("abcdef"), "prompt_id": list("abcdef"), "seed": 0,
        ...                         "emotion": ["happy", "sad"] * 3, "template": list("xxyyzz")})
        >>> Flips(samples).flips().tolist()
        [[1, 1, 1], [1, -1, 1], [1, 1, -1], [1, -1, -1]]
        """
        m, free = self.n_permutations if m is None else m, self.n_templates - 1
        if free < 1:
            return np.ones((1, self.n_templates), np.int8)
        if free < _WORD:
            # Each vector once: the identity drawn again would count as an extreme flip.
            count, rng = 2**free, np.random.default_rng(self.stream(_FLIPS))
            chosen = np.arange(1, count) if count <= m + 1 else 1 + rng.choice(count - 1, m, replace=False)
            bits = (np.append(0, chosen)[:, None] >> np.arange(free)) & 1  # [m', T - 1]
        else:
            drawn = np.random.default_rng(self.stream(_FLIPS)).integers(0, 2, (m, free))
            bits = np.vstack([np.zeros(free, int), drawn])
        return np.hstack([np.ones((len(bits), 1), int), 1 - 2 * bits]).astype(np.int8)

    def flip_hash(self, m: int | None = None) -> str:
        """Return 16 hexadecimal digits that two analyses share when they used the same flips."""
        return hashlib.sha256(self.flips(m).tobytes()).hexdigest()[:16]


def flipped_sums(contrasts: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Return Σ s_t s_u G_tu over t ≠ u [m, cells] for contrasts G [cells, T, T] and signs s [m, T].

    Examples
    --------
    >>> flipped_sums(np.array([[[9.0, 1.0], [1.0, 9.0]]]), np.array([[1, 1], [1, -1]])).tolist()
    [[2.0], [-2.0]]
    """
    i, j = np.triu_indices(contrasts.shape[-1], 1)
    pairs = np.ascontiguousarray((contrasts[:, i, j] + contrasts[:, j, i]).T)  # [pairs, cells]
    return (flips[:, i] * flips[:, j]).astype(float) @ pairs


def agreeing(contrasts: np.ndarray) -> np.ndarray:
    """Return how many templates' contrasts point where the others' mean does, [cells] of G [cells, T, T].

    A description, not a test: the templates' agreements are correlated, so the binomial does not hold. A
    template in which labels do not differ, but for rounding, points nowhere.
    """
    with_others = contrasts.sum(axis=2) - np.einsum("ctt->ct", contrasts)
    return (with_others > _NOTHING * np.abs(with_others).max(axis=1, keepdims=True)).sum(axis=1)

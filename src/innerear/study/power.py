"""The power of a design: its smallest p, and the smallest effect that it is likely to detect.

All follows from the prompts' labels and templates, in a moment and before any work.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial, inf, isclose, isnan, nan, prod, sqrt
from statistics import NormalDist

#: the level of a single test, and about that of a cell of a map that is corrected by max-T
LEVELS = (0.05, 0.001)
POWER = 0.8
#: dimensions of equal variance that the differences between prompts are taken to have
EFFECTIVE_DIMENSION = 16
#: with fewer templates sign flips reach no p below .05: the smallest is 2^(1 − templates)
FEWEST_TEMPLATES = 6
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Power:
    """The power of a study of some prompts: smallest p and smallest detectable effect.

    Attributes
    ----------
    n_prompts, n_labels : P and Q; a rating counts as two labels, since its slope is one contrast.
    n_blocks : templates within which labels move; 1 where they move among all prompts.
    n_templates : T templates whose signs can be flipped; 0 without blocks.
    relabelings : distinct ways to relabel the prompts, see `relabelings`.
    n_permutations : how many the study draws.
    """

    n_prompts: int
    n_labels: int
    n_blocks: int
    n_templates: int
    relabelings: int
    n_permutations: int

    @classmethod
    def of(cls, labels: Sequence[str | float], templates: Sequence[str], n_permutations: int) -> "Power":
        """Count what P labels and templates, one of each prompt, allow.

        Examples
        --------
        >>> labels, templates = ["happy", "sad"] * 5, [f"t{i // 2}" for i in range(10)]
        >>> Power.of(labels, templates, 1000).smallest_p
        0.0625
        """
        names = list(dict.fromkeys(templates))
        blocked = are_blocks(templates)
        blocks = [
            [label for label, one in zip(labels, templates, strict=True) if one == name or not blocked]
            for name in (names if blocked else names[:1])
        ]
        rating = not isinstance(labels[0], str)
        n_labels = min(2, len(set(labels))) if rating else len(set(labels))
        n_templates = len(names) if blocked else 0
        return cls(len(labels), n_labels, len(blocks), n_templates, relabelings(blocks), n_permutations)

    @property
    def smallest_p(self) -> float:
        """The smallest p of a permutation within templates; NaN if labels cannot move."""
        return nan if self.relabelings < 2 else 1 / self._outcomes

    @property
    def smallest_flip_p(self) -> float:
        """The smallest p of a sign flip of whole templates; NaN without templates."""
        return smallest_flip_p(self.n_templates, self.n_permutations)

    @property
    def _outcomes(self) -> int:
        return min(self.relabelings, self.n_permutations + 1)

    def detectable(self, level: float, *, flips: bool = False) -> float:
        """Return the smallest effect that p ≤ `level` detects in 80 % of studies; NaN if none can be.

        The effect is f, the root mean square of the labels' effects ÷ the standard deviation of a prompt's
        mean about them, per dimension. In simulations (docs/power.md) it is right to .01 at p ≤ .05 and up to
        .04 too low at p ≤ .001; .1 too low where only the largest of few relabelings will do.

        Notes
        -----
        With normal prompts and E effective dimensions, the relabelings of a study rank its cross-validated
        distance as an F statistic with ν₁ = (Q − 1) E and ν₂ = (P − B − Q + 1) E degrees of freedom, of B
        blocks, and noncentrality P E f². Tails by Patnaik (1949) and Paulson (1942).
        """
        if flips and not self.n_templates:
            return nan
        outcomes = round(1 / self.smallest_flip_p) if flips else self._outcomes
        reached = int(level * outcomes + 1e-9) / outcomes
        rest = self.n_prompts - self.n_blocks - self.n_labels + 1
        if not reached or rest < 1 or self.n_labels < 2:
            return nan
        nu1, nu2 = (self.n_labels - 1) * EFFECTIVE_DIMENSION, rest * EFFECTIVE_DIMENSION
        critical = _where(lambda x: _above(x, nu1, nu2) <= reached)

        def power(f: float) -> float:
            gain = self.n_prompts * EFFECTIVE_DIMENSION * f**2
            scale, nu = (nu1 + gain) / nu1, (nu1 + gain) ** 2 / (nu1 + 2 * gain)
            return _above(critical / scale, nu, nu2)

        return _where(lambda f: power(f) >= POWER)

    @property
    def warnings(self) -> list[str]:
        """Claims that this design cannot establish, with a remedy for each."""
        said = []
        if not self.smallest_p <= LEVELS[0]:
            reached = (
                "labels cannot move" if self.relabelings < 2 else f"the smallest p is {self.smallest_p:.3g}"
            )
            said.append(f"{reached}, so nothing can be established; add templates, or prompts of each label")
        if not self.smallest_flip_p <= LEVELS[0]:
            reached = f": sign flips of {self.n_templates} reach p = {self.smallest_flip_p:.3g} at best"
            said.append(
                f"no claim over templates{reached if self.n_templates else ': no two hold several prompts'}; "
                f"{FEWEST_TEMPLATES} or more are needed"
            )
        return said

    def __str__(self) -> str:
        flip = f", {self.smallest_flip_p:.3g} by sign flips of {self.n_templates} templates"
        smallest = "none" if self.relabelings < 2 else f"{self.smallest_p:.3g}"
        by_level = [(self.detectable(level), f"p ≤ {level:g}") for level in LEVELS]
        by_level.append((self.detectable(LEVELS[0], flips=True), f"p ≤ {LEVELS[0]:g} by sign flips"))
        effects = [f"{effect:.2f} at {level}" for effect, level in by_level if not isnan(effect)]
        lines = [f"  power     smallest p {smallest} by permutation{flip if self.n_templates else ''}"]
        if effects:
            lines.append(f"            detects in 80 % of studies an effect f of {', '.join(effects)}")
            lines.append("            (f: rms effect of the label ÷ standard deviation of a prompt's mean)")
        return "\n".join([*lines, *(f"  WARNING   {warning}" for warning in self.warnings)])


def are_blocks(templates: Sequence[str]) -> bool:
    """Whether the templates of prompts are blocks: two at least, and one with more than one prompt.

    Examples
    --------
    >>> are_blocks(["x", "x", "y", "y"]), are_blocks(["x", "y"]), are_blocks(["", ""])
    (True, False, False)
    """
    return 1 < len(set(templates)) < len(templates)


def smallest_flip_p(n_templates: float, n_permutations: float = inf) -> float:
    """Return the smallest p of sign flips of T templates: 2^(1 − T), or 1 ÷ (m + 1) where m are drawn.

    NaN without templates.
    """
    return max(2.0 ** (1 - n_templates), 1 / (n_permutations + 1)) if n_templates >= 1 else nan


def relabelings(blocks: Sequence[Sequence[str | float]]) -> int:
    """Return the number of distinct ways to relabel prompts within blocks, names of labels apart.

    Within block t, n_t! / ∏ n_tl! assignments; their product over blocks, divided by the renamings of labels
    that leave all counts n_tl as they are. It is exact. Ratings (numbers) have no renamings. If each block's
    ratings are symmetric, mirroring changes only the sign, so sign-blind statistics see half as many
    assignments.

    Examples
    --------
    >>> relabelings([["happy", "sad"]] * 5), relabelings([[-1.0, 1.0], [-1.0, 0.5]])
    (16, 2)
    """
    counts = [Counter(block) for block in blocks]
    assignments = prod(factorial(one.total()) // prod(map(factorial, one.values())) for one in counts)
    ratings = [[one for one in block if not isinstance(one, str)] for block in blocks]
    if any(ratings):
        return max(assignments // (2 if all(map(_symmetric, ratings)) else 1), 1)
    labels = dict.fromkeys(label for block in blocks for label in block)
    alike = Counter(tuple(one[label] for one in counts) for label in labels)
    return assignments // prod(map(factorial, alike.values()))


def _symmetric(ratings: Sequence[float]) -> bool:
    """Whether ratings are the same when mirrored about their middle."""
    ordered = sorted(ratings)
    ends = ordered[0] + ordered[-1]
    return all(
        isclose(low + high, ends, rel_tol=1e-5, abs_tol=1e-8)
        for low, high in zip(ordered, reversed(ordered), strict=True)
    )


def _above(x: float, nu1: float, nu2: float) -> float:
    """Return the probability that an F statistic exceeds x > 0 (Paulson's normal approximation)."""
    root, a, b = x ** (1 / 3), 2 / (9 * nu1), 2 / (9 * nu2)
    return 1 - _NORMAL.cdf(((1 - b) * root - (1 - a)) / sqrt(b * root**2 + a))


def _where(holds: Callable[[float], bool]) -> float:
    """Return where in 0 … 100 a condition begins to hold."""
    low, high = 0.0, 100.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high

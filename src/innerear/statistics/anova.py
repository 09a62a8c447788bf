"""ANOVA of prompt means by label or rating; templates are the blocks where there are any."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.special import fdtri

from innerear.statistics.design import Design
from innerear.statistics.pieces import pieces
from innerear.statistics.significance import ALPHA

# Vectors that are shorter than this share of what they were before are rounding.
_NOTHING = 1e-10


class Anova:
    """Variance of prompt means between labels, and what labels and templates leave.

    Template means are taken out of the prompt means and of the labels, so that a template need not hold
    every label equally often. Without templates as blocks the grand mean is taken out. A rating has one
    degree of freedom, that of its slope.

    Attributes
    ----------
    remove : [P, P] the projector that takes block means (or the grand mean) out.
    directions : [between, P] orthonormal; the squared products with prompt means sum to what labels explain.
    between, within : degrees of freedom.

    Examples
    --------
    >>> samples = pd.DataFrame({"sample_id": list("abcd"), "prompt_id": list("abcd"), "seed": 0,
    ...                         "emotion": ["happy", "happy", "sad", "sad"]})
    >>> Anova(Design(samples)).f(np.array([[1.0], [2.0], [5.0], [6.0]])).round(6).tolist()
    [32.0]
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        blocks = np.equal.outer(design.block_of, np.arange(design.n_blocks)).astype(float)
        self.remove = np.eye(design.n_prompts) - blocks @ np.diag(1 / blocks.sum(axis=0)) @ blocks.T
        vectors, size, _ = np.linalg.svd(self.remove @ design.targets, full_matrices=False)
        largest = np.linalg.norm(design.targets)
        self.directions = vectors[:, size > _NOTHING * largest].T
        self.between = len(self.directions)
        self.within = design.n_prompts - design.n_blocks - self.between

    @cached_property
    def label(self) -> np.ndarray:
        """[P, P] the projector on what labels explain of the rest."""
        return self.directions.T @ self.directions

    @property
    def why_not(self) -> str:
        """Say why there is no F; empty where there is one."""
        label = self.design.label
        if self.between < 1:
            within = " of a template" if self.design.numeric and self.design.blocked else ""
            return f"all prompts{within} have one {label}"
        if self.within < 1:
            return f"{self.design.n_prompts} prompts leave no variance within {label}s"
        return ""

    def f(self, means: np.ndarray) -> np.ndarray:
        """Return F [..., D] of prompt means [..., P, D]; NaN where they are constant, or where `why_not`."""
        means = self._centred(means)
        return self.ratio(((self.directions @ means) ** 2).sum(axis=-2), (means**2).sum(axis=-2))

    def null(self, means: np.ndarray) -> np.ndarray:
        """Return F [m, D] of prompt means [P, D] under each of the design's m permutations."""
        means, stand_ins = self._centred(means), self.design.prompt_permutations()
        explained = np.empty((len(stand_ins), means.shape[1]))
        for rows in pieces(len(stand_ins), max(self.between, 1) * means.shape[1], at_most=2**22):
            moved = self.directions[:, stand_ins[rows]].swapaxes(0, 1)  # [m, between, P]
            sums = moved.reshape(-1, moved.shape[-1]) @ means
            explained[rows] = (sums.reshape(*moved.shape[:2], means.shape[1]) ** 2).sum(axis=1)
        return self.ratio(explained, (means**2).sum(axis=0))

    def share(self, f: np.ndarray) -> np.ndarray:
        """Return what labels explain of the variance within templates, for F: (partial) ω², unbiased.

        0 in expectation without an effect, therefore sometimes negative.

        Examples
        --------
        >>> samples = pd.DataFrame({"sample_id": list("abcd"), "prompt_id": list("abcd"), "seed": 0,
        ...                         "emotion": ["happy", "happy", "sad", "sad"]})
        >>> Anova(Design(samples)).share(np.array([1.0, 5.0])).tolist()
        [0.0, 0.5]
        """
        excess = self.between * (f - 1)
        return excess / (excess + self.design.n_prompts)

    def share_past(self, f: np.ndarray) -> np.ndarray:
        """Return the share of F [..., D] that are past F's 5 % point, of those that there are; else NaN.

        Examples
        --------
        >>> samples = pd.DataFrame({"sample_id": list("abcd"), "prompt_id": list("abcd"), "seed": 0,
        ...                         "emotion": ["happy", "happy", "sad", "sad"]})
        >>> Anova(Design(samples)).share_past(np.array([[1.0, 32.0, np.nan], [np.nan] * 3])).tolist()
        [0.5, nan]
        """
        if self.why_not:
            return np.full(f.shape[:-1], np.nan)
        n = np.isfinite(f).sum(axis=-1)
        past = (f > fdtri(self.between, self.within, 1 - ALPHA)).sum(axis=-1)
        return np.divide(past, n, out=np.full(n.shape, np.nan), where=n > 0)

    def _centred(self, means: np.ndarray) -> np.ndarray:
        """Take block means out of means [..., P, D]; exactly 0 where only rounding is left."""
        centred = self.remove @ means
        size, left = ((one**2).sum(axis=-2, keepdims=True) for one in (means, centred))
        return np.where(left > _NOTHING**2 * size, centred, 0)

    def ratio(self, explained: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return F from sums of squares: what labels explain, and all without block means."""
        if self.why_not:
            return np.full(explained.shape, np.nan)
        rest = np.maximum(total - explained, np.finfo(float).eps * total)
        ratio = np.divide(explained, rest, out=np.full_like(explained, np.nan), where=rest > 0)
        return ratio * (self.within / self.between)


def f_without_each(
    values: np.ndarray, fewer: Sequence[tuple[np.ndarray, Design]]
) -> list[tuple[Anova, np.ndarray]]:
    """Return F [..., D] of values [..., N, D] of samples without each template, and the ANOVA that it is of.

    `fewer` is `Design.without_each_template`.
    """
    found = []
    for kept, design in fewer:
        anova = Anova(design)
        found.append((anova, anova.f(values[..., kept, :][..., design.rows, :].mean(axis=-2))))
    return found

"""How far apart labels are, from inner products: cross-validated distance and explained variance.

Both are linear in the Gram matrix of the prompts, and relabeling permutes the weights of its entries. All
relabelings are the rows of one matrix product.
"""

from functools import cached_property
from itertools import combinations

import numpy as np

from innerear.statistics.anova import Anova
from innerear.statistics.design import Design
from innerear.statistics.pieces import pieces


def prompt_means(kernel: np.ndarray, design: Design) -> np.ndarray:
    """Return inner products of the prompts' means over seeds, [..., P, P], of kernel [..., N, N]."""
    return kernel[..., design.rows[:, :, None, None], design.rows].mean(axis=(-3, -1), dtype=float)


def permuted_sums(weights: np.ndarray, kernel: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Return Σ weights ∘ kernel [m, cells] under relabelings [m, P] of the prompts.

    Of weights [P, P], kernels [cells, P, P] and `Design.prompt_permutations`.
    """
    flat = kernel.reshape(len(kernel), -1).T
    sums = np.empty((len(permutations), len(kernel)))
    for rows in pieces(len(permutations), weights.size):
        moved = permutations[rows]
        sums[rows] = weights[moved[:, :, None], moved[:, None, :]].reshape(len(moved), -1) @ flat
    return sums


class Distance:
    """Cross-validated squared distance between labels (Walther et al. 2016), folds whole templates.

    For each pair of labels, the difference of their means in one fold times that in another, averaged over
    all pairs of folds that hold both labels, then over pairs of labels. Two folds' noise is independent,
    so the expectation is the true squared distance, 0 without effect; an estimate may be negative.
    For a rating: the squared length of the change per unit of the rating.
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        folds = [np.unique(design.prompt_of[fold.test]) for fold in design.folds()]
        #: [Q, F, P] weights of the prompts in each contrast of each fold; NaN where it holds no such contrast
        self.contrasts = np.stack([_contrasts(design, prompts) for prompts in folds], axis=1)

    @cached_property
    def _terms(self) -> list[tuple[float, np.ndarray]]:
        """Signed non-negative weights [P, P] that sum to `weights`."""
        terms = []
        for contrast in self.contrasts:
            valid = contrast[np.isfinite(contrast).all(axis=1)]  # [F, P]
            if len(valid) > 1:
                plus, minus = np.maximum(valid, 0), np.maximum(-valid, 0)
                terms += [
                    (1.0, _between(plus, plus)),
                    (1.0, _between(minus, minus)),
                    (-1.0, _between(plus, minus) + _between(minus, plus)),
                ]
        return [(3 * sign / len(terms), weights) for sign, weights in terms]

    @property
    def possible(self) -> bool:
        """Whether two folds hold the same two labels."""
        return bool(self._terms)

    @cached_property
    def weights(self) -> np.ndarray:
        """[P, P]; the distance is Σ weights ∘ prompt means."""
        return sum((sign * one for sign, one in self._terms), np.zeros((self.design.n_prompts,) * 2))

    def bootstrap(self, kernel: np.ndarray) -> np.ndarray:
        """Return the distance in every bootstrap, [m, cells], of kernel [cells, N, N].

        NaN where a resample holds a single template.
        """
        boots = self.design.bootstraps()
        i, j = np.nonzero(np.triu(self.design.exchangeable_pairs()))
        prompts = self.design.prompt_of[i], self.design.prompt_of[j]
        values = np.ascontiguousarray(kernel[:, i, j].T, np.float32)  # [pairs, cells]
        result = np.empty((len(boots), len(kernel)), np.float32)
        for rows in pieces(len(boots), len(i)):
            counts = boots.pairs(i, j, rows)  # [m, pairs]
            combined = np.zeros_like(counts)
            for sign, weights in self._terms:
                mass = weights[prompts] / len(self.design.seeds) ** 2  # symmetric, and i < j
                some = np.flatnonzero(mass)
                weighed = counts[:, some] * mass[some].astype(np.float32)
                total = weighed.sum(axis=1, keepdims=True)
                scale = np.divide(mass.sum(), total, out=np.full_like(total, np.nan), where=total > 0)
                combined[:, some] += np.float32(2 * sign) * scale * weighed
            result[rows] = combined @ values
        return result

    def fold_products(self, kernel: np.ndarray, permutations: np.ndarray) -> np.ndarray:
        """Return each fold's differences times each other fold's, [m, F, F], of one kernel [P, P].

        Averaged over contrasts; the mean off the diagonal is the distance. NaN where a fold lacks one.
        """
        moved = self.contrasts[:, :, permutations].transpose(2, 0, 1, 3)  # [m, Q, F, P]
        return ((moved @ kernel) @ moved.swapaxes(-1, -2)).mean(axis=1)


def _contrasts(design: Design, prompts: np.ndarray) -> np.ndarray:
    """Weights [Q, P] of a fold's prompts: differences of label means, or the slope on the rating."""
    targets = design.targets[prompts]
    weights = np.zeros((design.targets.shape[1], design.n_prompts))
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: the fold lacks a label, or has one rating
        if design.numeric:
            about = targets - targets.mean(axis=0)
            weights[:, prompts] = (about / (about**2).sum(axis=0)).T
            return weights
        weights[:, prompts] = (targets / targets.sum(axis=0)).T
    return np.array([weights[a] - weights[b] for a, b in combinations(range(len(weights)), 2)])


def _between(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean of x_f y_gᵀ over all ordered pairs of folds f ≠ g, for x, y [F, P]."""
    n = len(x)
    return (np.outer(x.sum(axis=0), y.sum(axis=0)) - x.T @ y) / (n * (n - 1))


class Explained(Anova):
    """Variance of prompt means that labels explain within templates: PERMANOVA (Anderson 2001)."""

    def omega_squared(self, explained: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return ω² from the explained sums of squares [..., cells] of kernels [cells, P, P].

        (SS_label − df MS_within) / (SS_total + MS_within), SS_total without template means; 0 in
        expectation without effect, at most 1.
        """
        total = np.einsum("pq,cpq->c", self.remove, kernel)
        mean_square = (total - explained) / self.within
        return (explained - self.between * mean_square) / np.maximum(
            total + mean_square, np.finfo(float).tiny
        )

    def dispersion_f(self, kernel: np.ndarray, permutations: np.ndarray) -> np.ndarray:
        """Return the F ratio of prompts' distances to the mean of their label, [m, cells] (Anderson 2006).

        Labels that differ in dispersion can look like labels that differ in mean. Residuals, free of
        template and label means, are permuted, and their distances to the label means computed anew.
        Permuting the distances themselves finds too much, since one mean made all of a label's few
        distances.
        """
        rest = self.remove - self.label
        residual = rest @ kernel @ rest
        squared = np.stack(
            [permuted_sums(np.outer(row, row), residual, np.argsort(permutations, axis=1)) for row in rest],
            axis=-1,
        )  # [m, cells, P]
        z = np.sqrt(np.maximum(squared, 0)) @ self.remove
        explained = np.einsum("...p,pq,...q", z, self.label, z, optimize=True)
        unexplained = np.maximum((z**2).sum(axis=-1) - explained, np.finfo(float).tiny)
        return explained / self.between / (unexplained / self.within)

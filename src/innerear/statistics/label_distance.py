"""Distances between labels from inner products: cross-validated distance and explained variance.

Both are linear in the Gram matrix of the prompts, and relabeling permutes the weights of its entries. All
relabelings are the rows of one matrix product.
"""

from functools import cached_property
from itertools import combinations

import numpy as np

from innerear.statistics.anova import Anova
from innerear.statistics.design import Design
from innerear.statistics.design.prompt_pairs import Units
from innerear.statistics.pieces import pieces


def kernel_of_prompts(kernel: np.ndarray, design: Design) -> np.ndarray:
    """Return inner products of the prompts' means over seeds, [..., P, P], of kernel [..., N, N]."""
    rows = kernel[..., design.rows, :].mean(axis=-2, dtype=float)  # [..., P, N]
    return rows[..., design.rows].mean(axis=-1)


def permuted_sums(weights: np.ndarray, kernel: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Return Σ weights ∘ kernel [m, cells] under relabelings [m, P] of the prompts.

    Of symmetric weights [P, P] with any diagonal, symmetric kernels [cells, P, P] and
    `Design.prompt_permutations`.
    """
    i, j = np.triu_indices(len(weights))
    flat = np.ascontiguousarray((kernel + kernel.swapaxes(1, 2))[:, i, j].T)  # [pairs, cells]
    flat[i == j] /= 2
    sums = np.empty((len(permutations), len(kernel)))
    for rows in pieces(len(permutations), len(i)):
        moved = permutations[rows]
        sums[rows] = weights[moved[:, i], moved[:, j]] @ flat
    return sums


class Distance:
    """Cross-validated squared distance between labels (Walther et al. 2016), between whole templates.

    For each pair of labels, the difference of their means in one template times that in another, averaged
    over all pairs of templates that hold both labels, then over pairs of labels. Two templates' noise is
    independent, so the expectation is the true squared distance, 0 without effect; an estimate may be
    negative. Without templates the folds of `Design.folds` take their place.

    For a rating: the squared length of the change per unit of the rating. Of two templates' covariances with
    it, over the product of its sums of squares there: templates of little spread in the rating count little.

    Attributes
    ----------
    unit_of : [P] number of each prompt's template, or of its fold.
    weights : [P, P]; the distance is Σ weights ∘ prompt means.
    possible : whether two units hold the same two labels.
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        self.unit_of, self.folds = fold_units(design)
        self.weights = (_of_rating if design.numeric else _of_labels)(design, self.unit_of)
        self.possible = bool(self.weights.any())

    def contrasts(self, kernel: np.ndarray) -> np.ndarray:
        """Return each template's differences times each other's [cells, T, T], of kernel [cells, P, P].

        Their sum is the distance; the diagonal is 0. Sign flips of templates move them, see `record_flips`.
        """
        return Units(self.design).sums(self.weights * kernel)

    def bootstrap(self, kernel: np.ndarray) -> np.ndarray:
        """Return the distance in every bootstrap of templates, [m, cells], of kernel [cells, P, P].

        NaN where a resample holds a single template.
        """
        units, total = Units(self.design), 0.0
        for sign in (1, -1):
            part = np.maximum(sign * self.weights, 0)
            total = total + sign * part.sum() * units.resampled(units.sums(part * kernel), units.sums(part))
        return np.asarray(total)

    def fold_products(self, kernel: np.ndarray, permutations: np.ndarray) -> np.ndarray:
        """Return each fold's differences times each other fold's, [m, F, F, cells], under relabelings [m, P].

        Averaged over pairs of their templates, of kernel [cells, P, P]; the mean off the diagonal is the
        distance where folds are equally large. NaN on the diagonal, and where two folds hold no two labels
        in common.
        """
        n, blocked, mass = self.folds.max() + 1, self.design.blocked, np.abs(self.weights)
        result = np.full((len(permutations), n, n, len(kernel)), np.nan)
        for f, g in combinations(range(n), 2):
            one, other = np.flatnonzero(self.folds == f), np.flatnonzero(self.folds == g)
            size = mass[np.ix_(one, other)].sum()
            if blocked:  # prompts stay in their fold
                found = _block_sums(self.weights, kernel[:, one[:, None], other], permutations, one, other)
            else:
                masked = np.zeros_like(self.weights)
                masked[np.ix_(one, other)] = self.weights[np.ix_(one, other)]
                found = permuted_sums((masked + masked.T) / 2, kernel, permutations)
            result[:, f, g] = result[:, g, f] = found * (mass.sum() / size if size else np.nan)
        return result


def flipped_fold_products(contrasts: np.ndarray, design: Design) -> np.ndarray:
    """Return `Distance.fold_products` [m', F, F, cells] under each of `Design.flips`.

    Of contrasts [cells, T, T]. Row 0 is the observed one. NaN on the diagonal.
    """
    fold_of = np.empty(design.n_templates, int)
    fold_of[design.block_of] = fold_units(design)[1]
    signs, n = design.flips().astype(float), fold_of.max() + 1
    result = np.full((len(signs), n, n, len(contrasts)), np.nan)
    n_pairs = design.n_templates * (design.n_templates - 1)
    for f, g in combinations(range(n), 2):
        one, other = np.flatnonzero(fold_of == f), np.flatnonzero(fold_of == g)
        pairs = (signs[:, one, None] * signs[:, None, other]).reshape(len(signs), -1)
        found = pairs @ contrasts[:, one[:, None], other].reshape(len(contrasts), -1).T
        result[:, f, g] = result[:, g, f] = found * n_pairs / (len(one) * len(other))
    return result


def fold_units(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each prompt's unit, its template or fold, and of its fold: both [P]."""
    fold_of = np.empty(design.n_prompts, int)
    for number, fold in enumerate(design.folds()):
        fold_of[design.prompt_of[fold.test]] = number
    return design.block_of if design.blocked else fold_of, fold_of


def _block_sums(
    weights: np.ndarray, kernel: np.ndarray, permutations: np.ndarray, one: np.ndarray, other: np.ndarray
) -> np.ndarray:
    """Σ weights ∘ kernel [m, cells] over the prompts `one` × `other`, of kernel [cells, one, other]."""
    flat = kernel.reshape(len(kernel), -1).T
    sums = np.empty((len(permutations), len(kernel)))
    for rows in pieces(len(permutations), len(flat)):
        moved = permutations[rows]
        sums[rows] = weights[moved[:, one, None], moved[:, None, other]].reshape(len(moved), -1) @ flat
    return sums


def _of_labels(design: Design, unit_of: np.ndarray) -> np.ndarray:
    """Weights [P, P] of the distance between categories."""
    label_of = design.targets.argmax(axis=1)
    n = np.zeros((unit_of.max() + 1, design.targets.shape[1]))  # [T, Q] prompts
    np.add.at(n, (unit_of, label_of), 1)
    has = (n > 0).astype(float)
    both = has.T @ has  # [Q, Q] templates that hold both labels
    np.fill_diagonal(both, 0)
    usable = both > 1
    each = np.divide(1, both * (both - 1), out=np.zeros_like(both), where=usable)
    each /= max(usable.sum() / 2, 1)
    shared = has[:, None] * has[None]  # [T, T, Q]
    alike = shared * (shared @ each)  # Σ over the other label of a pair that both templates hold
    t, u, a, b = unit_of[:, None], unit_of, label_of[:, None], label_of
    unlike = -each[a, b] * shared[t, u, a] * shared[t, u, b]
    weights = np.where(a == b, alike[t, u, a], unlike) / (n[t, a] * n[u, b])
    return np.where(t == u, 0, weights)


def _of_rating(design: Design, unit_of: np.ndarray) -> np.ndarray:
    """Weights [P, P] of the squared slope on a rating."""
    rating = design.targets[:, 0]
    n = np.bincount(unit_of)
    about = rating - (np.bincount(unit_of, rating) / n)[unit_of]
    squares = np.bincount(unit_of, about**2)
    total = squares.sum() ** 2 - (squares**2).sum()
    weights = np.where(np.equal.outer(unit_of, unit_of), 0, np.outer(about, about))
    return weights / total if total > 0 else np.zeros_like(weights)


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

    def dispersion(self, kernel: np.ndarray, permutations: np.ndarray) -> np.ndarray:
        """Return how unequally labels disperse: the largest ÷ the smallest median distance, [m, cells].

        Distances of prompts to the mean of their label, without template means (Anderson 2006). Each is
        divided by what its share in that mean takes off it; the median of a label heeds no single prompt.
        For a rating: the share of the distances' variance that the rating explains. Residuals, free of
        template and label means, are permuted, and distances computed anew: permuting the distances
        themselves finds too much, since one mean made all of a label's few distances.
        """
        rest, basis = self.remove - self.label, self.directions  # [P, P], [d, P]
        residual = (rest @ kernel @ rest).astype(np.float32)
        kept = np.maximum(np.diagonal(rest), np.finfo(float).eps).astype(np.float32)
        basis = basis.astype(np.float32)
        i, j = np.triu_indices(len(basis))
        both = basis[i] * basis[j] * np.where(i == j, 1, 2).astype(np.float32)[:, None]  # [pairs of d, P]
        result = np.empty((len(permutations), len(kernel)))
        for rows in pieces(len(permutations), basis.size, at_most=2**20):
            stand_in = permutations[rows]  # [m, P]
            moved = np.ascontiguousarray(basis[:, np.argsort(stand_in, axis=1)].swapaxes(1, 2))  # [d, P, m]
            for cells in pieces(len(kernel), moved.size, at_most=2**20):
                inner = residual[cells]
                along = inner[:, None] @ moved  # [cells, d, P, m]
                products = np.diagonal(inner, axis1=1, axis2=2)[..., None]
                products = products - 2 * np.einsum("dpm,cdpm->cpm", moved, along)
                corner = [np.einsum("pm,cpm->cm", moved[d], along[:, e]) for d, e in zip(i, j, strict=True)]
                squared = products[:, stand_in, np.arange(len(stand_in))[:, None]]  # [cells, m, P]
                squared += np.stack(corner, axis=-1) @ both
                result[rows, cells] = self._unequal(np.sqrt(np.maximum(squared, 0) / kept)).T
        return result

    def _unequal(self, distances: np.ndarray) -> np.ndarray:
        """Dispersion [...] of distances [..., P]."""
        if self.design.numeric:
            about = distances @ self.remove
            total = np.maximum((about**2).sum(axis=-1), np.finfo(float).tiny)
            return ((about @ self.directions.T) ** 2).sum(axis=-1) / total
        medians = [np.median(distances[..., of], axis=-1) for of in self._members]
        least, most = np.minimum.reduce(medians), np.maximum.reduce(medians)
        return most / np.maximum(least, np.finfo(float).tiny)

    @cached_property
    def _members(self) -> list[np.ndarray]:
        """The prompts of each label."""
        return [np.flatnonzero(of) for of in self.design.targets.T]

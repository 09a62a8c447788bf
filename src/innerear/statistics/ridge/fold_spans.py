"""Targets in the span of few predictors, fold by fold: a small problem that stands for the large one.

A model of r predictors and a constant says nothing of a fold's targets but what lies in the span of these
r + 1 columns there. In an orthonormal basis of it a fold of n samples has at most r + 1 rows. What lies
outside is an error of every such model, whatever its penalty.
"""

from collections.abc import Callable, Sequence

import numpy as np

from innerear.statistics.design.folds import Fold
from innerear.statistics.pieces import pieces
from innerear.statistics.ridge import DualRidge, packed

# Directions that hold a smaller share of the largest one's length are rounding.
_ROUNDING = 1e-9
# Values of a fold's permuted bases held at once, to stay in cache.
_AT_ONCE = 2**18


class FoldSpans:
    """The spans of predictors [N, r] and a constant within each fold, k dimensions over all folds.

    Attributes
    ----------
    folds : the rows of the small problem that belong to each fold.
    basis : float32 [N, k], 0 outside the fold of a row.
    """

    def __init__(self, predictors: np.ndarray, folds: Sequence[Fold]) -> None:
        self.of_samples, bases = folds, []
        for fold in folds:
            columns = np.c_[np.ones(len(fold.test)), predictors[fold.test]]
            vectors, sizes, _ = np.linalg.svd(columns, full_matrices=False)
            bases.append(vectors[:, sizes > _ROUNDING * sizes[0]])
        ends = np.cumsum([basis.shape[1] for basis in bases])
        rows = np.split(np.arange(ends[-1]), ends[:-1])
        self.folds = [Fold(np.setdiff1d(np.arange(ends[-1]), own), own) for own in rows]
        self._exact = np.zeros((len(predictors), ends[-1]))
        for fold, own, vectors in zip(folds, rows, bases, strict=True):
            self._exact[np.ix_(fold.test, own)] = vectors
        self.basis = self._exact.astype(np.float32)
        self._bases = [vectors.astype(np.float32) for vectors in bases]
        self._diagonal = packed(np.eye(ends[-1], dtype=bool), self.folds)

    def ridge(self, kernel: np.ndarray) -> DualRidge:
        """Ridge from a kernel [N, N] of these predictors, of targets in the basis."""
        basis = self._exact
        return DualRidge(basis.T @ kernel @ basis, self.folds, basis.sum(axis=0))

    def sums(self, kernel: np.ndarray) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
        """Return `DualRidge.sums` of a kernel [N, N] of these predictors, where every sample is scored."""
        ridge = self.ridge(kernel)

        def sums(targets: np.ndarray, *_: object) -> tuple[np.ndarray, np.ndarray]:
            inside = self.basis.T @ targets
            outside = np.einsum("nc,nc->c", targets, targets) - np.einsum("kc,kc->c", inside, inside)
            errors, base = ridge.sums(inside)
            return errors + outside, base + outside

        return sums

    def products(self, gram: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Inner products of targets in the basis when samples trade places, `packed`, float32 [m, pairs].

        Of the targets' inner products float32 [N, N] and the stand-ins of samples [m, N].
        """
        found = np.empty((len(table), len(self._diagonal)), np.float32)
        for some in pieces(len(table), self._bases[0].size, _AT_ONCE):
            (bases, places), blocks = self._moving_bases(table[some]), []
            for number, (right, columns) in enumerate(zip(bases, places, strict=True)):
                for left, rows in zip(bases[: number + 1], places[: number + 1], strict=True):
                    between = gram[rows[..., :, None], columns[..., None, :]]
                    block = left.swapaxes(-1, -2) @ (between @ right)
                    blocks.append(block.reshape(len(block), -1))
            np.concatenate(blocks, axis=1, out=found[some])
        return found

    def moved(self, values: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Values [N, q] in the basis when samples trade places, float32 [m, k, q]."""
        return np.concatenate(self.moved_by_fold(values, table), axis=1)

    def moved_by_fold(self, values: np.ndarray, table: np.ndarray) -> list[np.ndarray]:
        """Return the parts of `moved` that belong to each fold."""
        few = values.shape[1] < self._bases[0].shape[1]
        bases, places = self._moving_values(table) if few else self._moving_bases(table)
        values = values.astype(np.float32, copy=False)
        return [basis.swapaxes(-1, -2) @ values[rows] for basis, rows in zip(bases, places, strict=True)]

    def _moving_values(self, table: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Each fold's basis [n, k], and the samples whose values go with its rows, [m, n]."""
        return self._bases, [table[:, fold.test] for fold in self.of_samples]

    def _moving_bases(self, table: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return the same as bases [m, n, k] with permuted rows, and samples [n], if none leaves its fold."""
        bases, places = [], [fold.test for fold in self.of_samples]
        for basis, rows in zip(self._bases, places, strict=True):
            order = np.argsort(table[:, rows], axis=1)
            if (np.take_along_axis(table[:, rows], order, axis=1) != rows).any():
                return self._moving_values(table)
            bases.append(basis[order])
        return bases, places

    def both_ways(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return one · otherᵀ + other · oneᵀ, `packed`, [m, pairs], of factors [m, k, q]."""
        left, right = np.concatenate([one, other], axis=2), np.concatenate([other, one], axis=2)
        rows = [fold.test for fold in self.folds]
        blocks = [left[:, : own[-1] + 1] @ right[:, own].swapaxes(1, 2) for own in rows]
        return np.concatenate([block.reshape(len(one), -1) for block in blocks], axis=1)

    def trace(self, products: np.ndarray) -> np.ndarray:
        """Sum the diagonals of `packed` matrices [m, pairs]."""
        return products[:, self._diagonal].sum(axis=1)

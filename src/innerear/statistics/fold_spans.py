"""Targets in the span of few predictors, fold by fold: a small problem that stands for the large one.

A model of r predictors and a constant says nothing of a fold's targets but what lies in the span of these
r + 1 columns there. In an orthonormal basis of it a fold of n samples has at most r + 1 rows. What lies
outside is an error of every such model, whatever its penalty.
"""

from collections.abc import Sequence

import numpy as np

from innerear.statistics.folds import Fold
from innerear.statistics.ridge import DualRidge

# Directions that hold a smaller share of the largest one's length are rounding.
_ROUNDING = 1e-9


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
        basis = np.zeros((len(predictors), ends[-1]))
        for fold, own, vectors in zip(folds, rows, bases, strict=True):
            basis[np.ix_(fold.test, own)] = vectors
        self._exact, self.basis = basis, basis.astype(np.float32)
        self._bases = [vectors.astype(np.float32) for vectors in bases]

    def ridge(self, kernel: np.ndarray) -> DualRidge:
        """Ridge from a kernel [N, N] of these predictors, of targets in the basis."""
        basis = self._exact
        return DualRidge(basis.T @ kernel @ basis, self.folds, basis.sum(axis=0))

    def coordinates(self, values: np.ndarray) -> np.ndarray:
        """Return values [N, columns] in the basis, float32 [k, columns]."""
        parts = zip(self._bases, self.of_samples, strict=True)
        return np.concatenate([basis.T @ values[fold.test] for basis, fold in parts])

    def products(self, gram: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Return inner products of targets in the basis, float32 [m, k, k], when samples trade places.

        Of the targets' inner products float32 [N, N] and the stand-ins [m, N]. Blocks of two folds are filled
        where the first is the earlier one.
        """
        n_moved, each = len(table), np.arange(len(table))
        found = np.zeros((n_moved, self.basis.shape[1], self.basis.shape[1]), np.float32)
        seen = np.zeros(len(gram), bool)
        for number, (fold, basis) in enumerate(zip(self.of_samples, self._bases, strict=True)):
            # Samples trade places within their template, and so within a fold: most of the basis is 0.
            own = np.zeros(len(gram), bool)
            own[table[:, fold.test]] = True
            seen |= own
            placed = np.zeros((own.sum(), n_moved, basis.shape[1]), np.float32)
            placed[_places(own, table[:, fold.test]), each] = basis[:, None]
            across = gram[np.ix_(seen, own)] @ placed.reshape(len(placed), -1)
            across = across.reshape(-1, *placed.shape[1:])  # [seen, m, columns]
            for earlier in range(number + 1):
                moved = across[_places(seen, table[:, self.of_samples[earlier].test]), each]
                block = self._bases[earlier].T @ moved.reshape(len(moved), -1)
                rows, columns = self.folds[earlier].test, self.folds[number].test
                block = block.reshape(len(rows), n_moved, len(columns)).swapaxes(0, 1)
                found[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = block
        return found


def _places(chosen: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return the places [n, m] of samples [m, n] among the chosen ones, bool [N]."""
    return (np.cumsum(chosen) - 1)[samples.T]

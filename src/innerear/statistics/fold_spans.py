"""Targets in the span of few predictors, fold by fold: a small problem that stands for the large one.

A model of r predictors and a constant says nothing of a fold's targets but what lies in the span of these
r + 1 columns there. In an orthonormal basis of it a fold of n samples has at most r + 1 rows. What lies
outside is an error of every such model, whatever its penalty.
"""

from collections.abc import Callable, Sequence

import numpy as np

from innerear.statistics.folds import Fold
from innerear.statistics.ridge import DualRidge, packed

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
        self._exact = np.zeros((len(predictors), ends[-1]))
        for fold, own, vectors in zip(folds, rows, bases, strict=True):
            self._exact[np.ix_(fold.test, own)] = vectors
        self.basis = self._exact.astype(np.float32)
        self._bases = [vectors.astype(np.float32) for vectors in bases]

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
        blocks, seen, each = [], np.zeros(len(gram), bool), np.arange(len(table))
        for later, (fold, basis) in enumerate(zip(self.of_samples, self._bases, strict=True)):
            # Samples trade places within their template, and so within a fold: most of the basis is 0.
            own = np.zeros(len(gram), bool)
            own[table[:, fold.test]] = True
            seen |= own
            placed = np.zeros((own.sum(), len(table), basis.shape[1]), np.float32)
            placed[_places(own, table[:, fold.test]), each] = basis[:, None]
            across = gram[np.ix_(seen, own)] @ placed.reshape(len(placed), -1)
            across = across.reshape(-1, *placed.shape[1:])  # [seen, m, columns]
            for earlier in range(later + 1):
                moved = across[_places(seen, table[:, self.of_samples[earlier].test]), each]
                block = self._bases[earlier].T @ moved.reshape(len(moved), -1)
                blocks.append(block.reshape(-1, *placed.shape[1:]).swapaxes(0, 1).reshape(len(table), -1))
        return np.concatenate(blocks, axis=1)

    def moved(self, values: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Values [N, q] in the basis when samples trade places, float32 [m, k, q]."""
        return np.concatenate(self.moved_by_fold(values, table), axis=1)

    def moved_by_fold(self, values: np.ndarray, table: np.ndarray) -> list[np.ndarray]:
        """Return the parts of `moved` that belong to each fold."""
        found, values = [], values.astype(np.float32, copy=False)
        for basis, fold in zip(self._bases, self.of_samples, strict=True):
            stand_ins = table[:, fold.test]
            order = np.argsort(stand_ins, axis=1)
            stay = (np.take_along_axis(stand_ins, order, axis=1) == fold.test).all()
            if stay and values.shape[1] > basis.shape[1]:
                # Within a fold the basis, which has fewer columns, can move instead.
                placed = basis.T.take(order, axis=1).reshape(-1, len(basis))  # [k m, n]
                whole = (placed @ values[fold.test]).reshape(-1, *table.shape[:1], values.shape[1])
                found.append(whole.swapaxes(0, 1))
            else:
                found.append(basis.T @ values[stand_ins])
        return found

    def both_ways(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return one · otherᵀ + other · oneᵀ, `packed`, [m, pairs], of factors [m, k, q]."""
        left, right = np.concatenate([one, other], axis=2), np.concatenate([other, one], axis=2)
        rows = [fold.test for fold in self.folds]
        blocks = [left[:, : own[-1] + 1] @ right[:, own].swapaxes(1, 2) for own in rows]
        return np.concatenate([block.reshape(len(one), -1) for block in blocks], axis=1)

    def trace(self, products: np.ndarray) -> np.ndarray:
        """Sum the diagonals of `packed` matrices [m, pairs]."""
        return products @ packed(np.eye(self.basis.shape[1], dtype=np.float32), self.folds)


def _places(chosen: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return the places [n, m] of samples [m, n] among the chosen ones, bool [N]."""
    return (np.cumsum(chosen) - 1)[samples.T]

"""Ridge regression on few predictors: held-out errors from sums over the samples of each fold.

The same models as `innerear.statistics.ridge` fits from a kernel. With r predictors a fit needs no more of
the targets than their r + 1 products with predictors and constant, summed over the training samples.
"""

from collections.abc import Sequence

import numpy as np

from innerear.statistics.design.folds import Fold
from innerear.statistics.ridge import PENALTIES
from innerear.statistics.ridge.fold_spans import FoldSpans


class PrimalRidge:
    """Ridge on predictors [N, r] and a constant, which is not penalised.

    With Z the predictors and the constant, and λ the penalty, a fit without fold f has the weights
    β = (Z'Z − Z_f'Z_f + λ)⁻¹ (Z'y − Z_f'y_f). With an orthonormal basis B of the columns of Z_f, it misses
    fold f by |y_f|² − 2 p'B'y_f + |p|², where p = B'Z_f β. Penalties are those of `DualRidge`, in units of
    the mean eigenvalue of the centred kernel.
    """

    def __init__(self, predictors: np.ndarray, folds: Sequence[Fold]) -> None:
        centred = predictors - predictors.mean(axis=0)
        joined = np.c_[np.ones(len(centred)), centred]
        scale = (centred**2).sum() / len(centred) or 1.0
        penalised = scale * np.diag(np.r_[0.0, np.ones(centred.shape[1])])
        inside = np.stack([joined[fold.test].T @ joined[fold.test] for fold in folds])
        left = (inside.sum(axis=0) - inside)[:, None] + np.multiply.outer(PENALTIES, penalised)
        self._spans, self._sizes = FoldSpans(predictors, folds), [len(fold.test) for fold in folds]
        roots = [self._spans.basis[:, own.test].T @ joined for own in self._spans.folds]  # B'Z_f
        self._roots = [root.astype(np.float32) for root in roots]
        # Inverted in float64: of collinear predictors, much of it is in directions that Z_f takes out again.
        inverse = np.linalg.inv(left)  # [folds, penalties, 1 + r, 1 + r]
        self._fits = [(root @ one).astype(np.float32) for root, one in zip(roots, inverse, strict=True)]

    def errors(
        self, targets: np.ndarray, table: np.ndarray, penalties: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Squared held-out errors of ridge, and of the mean of the training samples, both [m, D].

        Of targets float32 [N, D] when samples trade places as each row of a table [m, N] says, with the
        numbered penalties, int [folds, m].
        """
        moved = self._spans.moved_by_fold(targets, table)  # of each fold B'y_f, [m, k, D]
        products = [root.T @ one for root, one in zip(self._roots, moved, strict=True)]  # [m, 1 + r, D]
        total = sum(products)
        errors, base = np.tile((targets**2).sum(axis=0), (2, len(table), 1))
        for number, own in enumerate(products):
            left = total - own
            predicted = self._fits[number][penalties[number]] @ left  # [m, k, D]
            errors += np.einsum("mkd,mkd->md", predicted, predicted - 2 * moved[number])
            size, mean = self._sizes[number], left[:, 0] / (len(targets) - self._sizes[number])
            base += mean * (size * mean - 2 * own[:, 0])
        return errors, base

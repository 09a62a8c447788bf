"""Dual ridge regression from a kernel: fitted on some templates, judged on another.

Given kernel, folds and penalty, predictions are linear in the targets. All targets and all permutations of
them are therefore columns of one matrix product (Saunders et al. 1998).
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from innerear.statistics.design import Design, Fold

#: penalties, in units of the mean eigenvalue of the training kernel
PENALTIES = tuple(10.0**k for k in range(-3, 4))
# Where there are too few templates for folds within the training set.
_DEFAULT = PENALTIES.index(1.0)


def ridge_operators(
    kernel: np.ndarray,
    across: np.ndarray,
    covariates: tuple[np.ndarray, np.ndarray],
    penalties: Sequence[float] = PENALTIES,
) -> np.ndarray:
    """Return the operators that turn targets of training samples into predictions of test samples.

    Parameters
    ----------
    kernel : [..., n, n] inner products of the training samples' features; need not be centred.
    across : [..., t, n] those of the test samples with the training samples.
    covariates : [n, q] of the training and [t, q] of the test samples. Least squares on the training samples
        takes them out of features and targets; a constant centres both.
    penalties : in units of the mean eigenvalue of the training kernel without its covariates.

    Returns
    -------
    [penalties, ..., t, n]; what they predict beyond the covariates' own prediction.

    Examples
    --------
    >>> x, y = np.array([[-1.0], [0.0], [1.0]]), np.array([-2.0, 0.0, 2.0])
    >>> constant = np.ones((3, 1)), np.ones((1, 1))
    >>> (ridge_operators(x @ x.T, np.array([[3.0]]) @ x.T, constant, [1e-9]) @ y).round(6)
    array([[6.]])
    """
    of_train, of_test = covariates
    fit = np.linalg.pinv(of_train)  # [q, n]
    explained = (kernel @ of_train) @ fit
    within = kernel - explained
    within -= explained.swapaxes(-1, -2)
    within += fit.T @ (of_train.T @ explained)
    beyond = across - of_test @ (fit @ kernel)
    beyond -= (beyond @ of_train) @ fit
    identity = np.eye(within.shape[-1])
    scale = np.trace(within, axis1=-2, axis2=-1)[..., None, None] / len(identity)
    operators = []
    for penalty in penalties:
        regular = within + np.where(scale > 0, penalty * scale, 1) * identity
        operators.append(np.linalg.solve(regular, beyond.swapaxes(-1, -2)).swapaxes(-1, -2))
    return np.stack(operators)


class DualRidge:
    """Operators that turn targets into held-out residuals.

    Parameters
    ----------
    kernel : [N, N] inner products of the predictors; need not be centred.
    covariates : [N, q] predictors without penalty, see `ridge_operators`; the constant alone if not given.

    Attributes
    ----------
    outer : [folds][penalties, test, N] prediction − target of the test samples.
    base : [folds][test, N] the same with the covariates alone.
    inner : [folds][penalties, train, train] the same over folds within the training set, on which penalties
    are
        chosen; None where there are too few templates for them.
    """

    def __init__(
        self, kernel: np.ndarray, folds: Sequence[Fold], design: Design, covariates: np.ndarray | None = None
    ) -> None:
        kernel = np.asarray(kernel, float)
        covariates = np.ones((len(kernel), 1)) if covariates is None else np.asarray(covariates, float)
        self.folds = folds
        self.outer = [_residuals(kernel, covariates, fold) for fold in folds]
        self.base = [_residuals_of_covariates(covariates, fold).astype(np.float32) for fold in folds]
        self.inner = [_inner_residuals(kernel, covariates, fold.train, design) for fold in folds]

    def errors(self, targets: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared held-out errors of ridge and of the covariates alone, both [N, columns].

        Of targets and valid, float32 [N, columns]; only samples of valid 1 are scored, others are 0. Each
        column has a penalty of its own, the one with the least error within the training set.
        """
        errors, base = np.zeros_like(targets), np.zeros_like(targets)
        for fold, outer, alone, inner in zip(self.folds, self.outer, self.base, self.inner, strict=True):
            chosen = _penalties(inner, targets[fold.train], valid[fold.train])
            # Every penalty for every column: one large product is faster than picking columns.
            missed = (outer.reshape(-1, len(targets)) @ targets).reshape(*outer.shape[:2], -1)
            errors[fold.test] = np.take_along_axis(missed, chosen[None, None], axis=0)[0] ** 2
            base[fold.test] = (alone @ targets) ** 2
        return errors * valid, base * valid

    def joint(self, grams: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sum squared held-out errors over samples and targets, with one penalty for all targets.

        `grams` are float32 [m, N, N] inner products of the samples' targets, Y Yᵀ, in m permutations: the
        squared error of operator A is tr(A Y Yᵀ Aᵀ), so Y itself is not needed. Return the errors of ridge
        and of the covariates alone, both [m], and the numbers of the penalties, int [folds, m].
        """
        flat = grams.reshape(len(grams), -1)
        errors, base = np.zeros((2, len(grams)))
        chosen = np.empty((len(self.folds), len(grams)), int)
        for number, forms in enumerate(self._forms):
            every = flat @ forms  # [m, 1 + 2 * penalties]
            inner, outer = np.split(every[:, 1:], 2, axis=1)
            chosen[number] = inner.argmin(axis=1)
            errors += np.take_along_axis(outer, chosen[number][:, None], axis=1)[:, 0]
            base += every[:, 0]
        return errors, base, chosen

    def joint_base(self, grams: np.ndarray) -> np.ndarray:
        """Sum squared held-out errors of the covariates alone [m], as `joint`."""
        form = np.sum([forms[:, 0] for forms in self._forms], axis=0)
        return grams.reshape(len(grams), -1) @ form

    @cached_property
    def _forms(self) -> list[np.ndarray]:
        """Squares Aᵀ A of each fold's operators, [N * N, 1 + 2 * penalties]: base, inner, outer."""
        forms = []
        for fold, outer, alone, inner in zip(self.folds, self.outer, self.base, self.inner, strict=True):
            within = np.zeros((len(PENALTIES), *[outer.shape[-1]] * 2), np.float32)
            if inner is None:  # the least error is that of the penalty 1
                within += (np.arange(len(PENALTIES)) != _DEFAULT)[:, None, None]
                within *= np.eye(outer.shape[-1], dtype=np.float32)
            else:
                within[:, fold.train[:, None], fold.train] = inner.swapaxes(1, 2) @ inner
            squares = np.concatenate([(alone.T @ alone)[None], within, outer.swapaxes(1, 2) @ outer])
            forms.append(np.ascontiguousarray(squares.reshape(len(squares), -1).T))
        return forms


def errors_of_covariates(
    folds: Sequence[Fold], targets: np.ndarray, covariates: np.ndarray | None = None
) -> np.ndarray:
    """Squared held-out errors [N, columns] of least squares on covariates [N, q]; without any, of the mean.

    Examples
    --------
    >>> folds = [Fold(np.array([0, 1]), np.array([2])), Fold(np.array([2]), np.array([0, 1]))]
    >>> errors_of_covariates(folds, np.array([[1.0], [3.0], [5.0]])).ravel().round(6).tolist()
    [16.0, 4.0, 9.0]
    """
    covariates = np.ones((len(targets), 1)) if covariates is None else covariates
    errors = np.zeros_like(targets)
    for fold in folds:
        operator = _residuals_of_covariates(covariates, fold).astype(targets.dtype)
        errors[fold.test] = (operator @ targets) ** 2
    return errors


def r2(errors: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return 1 − errors ÷ base.

    Examples
    --------
    >>> r2(np.array([1.0, 3.0]), np.array([4.0, 2.0]))
    array([ 0.75, -0.5 ])
    """
    return 1 - errors / np.maximum(base, np.finfo(np.float32).tiny)


def _penalties(inner: np.ndarray | None, targets: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Number of the penalty with the least inner held-out error, for each column."""
    if inner is None:
        return np.full(targets.shape[1], _DEFAULT)
    missed = (inner.reshape(-1, len(targets)) @ targets).reshape(*inner.shape[:2], -1)
    missed *= missed
    missed *= valid
    return missed.sum(axis=1).argmin(axis=0)


def _residuals(kernel: np.ndarray, covariates: np.ndarray, fold: Fold) -> np.ndarray:
    """Operators that turn targets into prediction − target of the test samples, [penalties, test, N]."""
    train, test = fold.train, fold.test
    operators = np.repeat(_residuals_of_covariates(covariates, fold)[None], len(PENALTIES), axis=0)
    operators[..., train] += ridge_operators(
        kernel[np.ix_(train, train)], kernel[np.ix_(test, train)], (covariates[train], covariates[test])
    )
    return operators.astype(np.float32)


def _residuals_of_covariates(covariates: np.ndarray, fold: Fold) -> np.ndarray:
    """The same for a prediction from the covariates alone, [test, N]."""
    operator = np.zeros((len(fold.test), len(covariates)))
    operator[:, fold.train] = covariates[fold.test] @ np.linalg.pinv(covariates[fold.train])
    operator[np.arange(len(fold.test)), fold.test] -= 1
    return operator


def _inner_residuals(
    kernel: np.ndarray, covariates: np.ndarray, train: np.ndarray, design: Design
) -> np.ndarray | None:
    """Residual operators over folds within a training set, [penalties, train, train]."""
    inside = design.subset(train)
    if inside.why_no_folds:
        return None
    operators = np.zeros((len(PENALTIES), len(train), len(train)), np.float32)
    for fold in inside.folds():
        operators[:, fold.test] = _residuals(kernel[np.ix_(train, train)], covariates[train], fold)
    return operators

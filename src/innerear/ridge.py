"""Dual ridge regression of held-out samples, from a kernel: fitted on some templates, judged on another.

Predictions are linear in the targets once kernel, folds and penalty are given, so that all targets and
all permutations of them are columns of one matrix product (Saunders et al. 1998).
"""

from collections.abc import Sequence

import numpy as np

from innerear.design import Design, Fold
from innerear.errors import InputError

#: penalties, in units of the mean eigenvalue of the training kernel
PENALTIES = tuple(10.0**k for k in range(-3, 4))


class DualRidge:
    """Operators that turn targets into what is left of them after prediction.

    Parameters
    ----------
    kernel : [N, N] inner products of the predictors; need not be centred.
    folds : of `design`.
    design : gives the folds within each training set, on which penalties are chosen.
    covariates : [N, q] predictors without penalty, taken out of kernel and targets by least squares on
        the training samples; the constant alone if not given.

    Attributes
    ----------
    outer : [folds][penalties, test, N] prediction − target of the test samples.
    base : [folds][test, N] the same with the covariates alone.
    inner : [folds][penalties, train, train] the same over folds within the training set; None where
        there are too few templates for them.
    """

    def __init__(
        self,
        kernel: np.ndarray,
        folds: Sequence[Fold],
        design: Design,
        covariates: np.ndarray | None = None,
    ) -> None:
        kernel = np.asarray(kernel, float)
        beside = np.ones((len(kernel), 1)) if covariates is None else np.asarray(covariates, float)
        self.folds = folds
        self.outer = [_residuals(kernel, beside, fold) for fold in folds]
        self.base = [_residuals_of_covariates(beside, fold) for fold in folds]
        self.inner = [_inner_residuals(kernel, beside, fold.train, design) for fold in folds]

    def errors(self, targets: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared held-out errors of ridge and of the covariates alone.

        Parameters
        ----------
        targets, valid : float32 [N, columns]; only samples of valid 1 are scored. Each column has a
            penalty of its own, the one with the least error within the training set.

        Returns
        -------
        Both [N, columns]; 0 where not valid.
        """
        errors, base = np.zeros_like(targets), np.zeros_like(targets)
        for fold, outer, alone, inner in zip(self.folds, self.outer, self.base, self.inner, strict=True):
            chosen = _penalties(inner, targets[fold.train], valid[fold.train])
            for number in np.unique(chosen):
                columns = np.flatnonzero(chosen == number)
                missed = outer[number] @ targets[:, columns]
                errors[np.ix_(fold.test, columns)] = missed**2
            base[fold.test] = (alone @ targets) ** 2
        return errors * valid, base * valid

    def joint_penalties(self, grams: np.ndarray) -> np.ndarray:
        """Choose one penalty for all targets together, in each fold.

        Parameters
        ----------
        grams : [m, N, N] inner products of the samples' targets, Y Yᵀ, in m permutations of them.

        Returns
        -------
        int [folds, m]: the squared error of operator A is tr(A Y Yᵀ Aᵀ), so Y itself is not needed.
        """
        chosen = np.full((len(self.folds), len(grams)), PENALTIES.index(1.0))
        for number, (fold, inner) in enumerate(zip(self.folds, self.inner, strict=True)):
            if inner is not None:
                some = np.ascontiguousarray(grams[:, fold.train[:, None], fold.train])
                losses = some.reshape(len(grams), -1) @ _squares(inner)
                chosen[number] = losses.argmin(axis=1)
        return chosen

    def joint_errors(self, grams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum squared held-out errors over samples and targets, with one penalty for all targets.

        Parameters
        ----------
        grams : as of `joint_penalties`.

        Returns
        -------
        Of ridge and of the covariates alone, both [m].
        """
        flat = grams.reshape(len(grams), -1)
        errors, base = np.zeros((2, len(grams)))
        for number, chosen in enumerate(self.joint_penalties(grams)):
            every = flat @ _squares(self.outer[number])  # [m, penalties]
            errors += every[np.arange(len(grams)), chosen]
            base += (flat @ _squares(self.base[number][None]))[:, 0]
        return errors, base


def errors_of_mean(folds: Sequence[Fold], targets: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Squared held-out errors of the training mean, [N, columns]; 0 where not valid."""
    errors, constant = np.zeros_like(targets), np.ones((len(targets), 1))
    for fold in folds:
        errors[fold.test] = (_residuals_of_covariates(constant, fold) @ targets) ** 2
    return errors * valid


def r2(errors: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return 1 − errors ÷ base."""
    return 1 - errors / np.maximum(base, np.finfo(np.float32).tiny)


def _squares(operators: np.ndarray) -> np.ndarray:
    """Return Aᵀ A of operators [p, rows, N], flattened to [N * N, p]."""
    return np.stack([(one.T @ one).ravel() for one in operators], axis=1)


def _penalties(inner: np.ndarray | None, targets: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Number of the penalty with the least inner held-out error, for each column."""
    if inner is None:
        return np.full(targets.shape[1], PENALTIES.index(1.0))
    losses = [((operator @ targets) ** 2 * valid).sum(axis=0) for operator in inner]
    return np.argmin(losses, axis=0)


def _residuals(kernel: np.ndarray, covariates: np.ndarray, fold: Fold) -> np.ndarray:
    """Operators that turn targets into prediction − target of the test samples, [penalties, test, N]."""
    train, test = fold.train, fold.test
    fit = np.linalg.pinv(covariates[train])  # [q, train]
    left = np.eye(len(train)) - covariates[train] @ fit  # takes covariates out of training samples
    among = covariates[test] @ fit  # [test, train] what they predict of test samples
    within = left @ kernel[np.ix_(train, train)]
    across = (kernel[np.ix_(test, train)] - among @ kernel[np.ix_(train, train)]) @ left
    values, vectors = np.linalg.eigh(within @ left)
    scale = max(float(values.mean()), np.finfo(float).tiny)
    projected, back = across @ vectors, vectors.T @ left
    operators = np.zeros((len(PENALTIES), len(test), len(kernel)), np.float32)
    for number, penalty in enumerate(PENALTIES):
        operators[number][:, train] = (projected / (np.maximum(values, 0) + penalty * scale)) @ back + among
    operators[:, np.arange(len(test)), test] -= 1
    return operators


def _residuals_of_covariates(covariates: np.ndarray, fold: Fold) -> np.ndarray:
    operator = np.zeros((len(fold.test), len(covariates)), np.float32)
    operator[:, fold.train] = covariates[fold.test] @ np.linalg.pinv(covariates[fold.train])
    operator[np.arange(len(fold.test)), fold.test] -= 1
    return operator


def _inner_residuals(
    kernel: np.ndarray, covariates: np.ndarray, train: np.ndarray, design: Design
) -> np.ndarray | None:
    """Residual operators over folds within a training set, [penalties, train, train]."""
    try:
        folds = design.subset(train).folds()
    except InputError:
        return None
    operators = np.zeros((len(PENALTIES), len(train), len(train)), np.float32)
    for fold in folds:
        operators[:, fold.test] = _residuals(kernel[np.ix_(train, train)], covariates[train], fold)
    return operators

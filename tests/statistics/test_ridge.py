"""Ridge from inner products equals ridge of the features themselves."""

import numpy as np
import pytest
from fakes import make_design

from innerear.statistics.ridge import PENALTIES, DualRidge, ridge_operators


@pytest.mark.parametrize("n_covariates", [1, 3])
def test_operators_are_those_of_features_without_their_covariates(n_covariates):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 25, 6)) + 2  # of 20 training and 5 test samples
    covariates = np.c_[np.ones(25), rng.normal(size=(25, n_covariates - 1))]
    train, test = slice(20), slice(20, 25)
    fit = np.linalg.lstsq(covariates[train], np.c_[x, y][train], rcond=None)[0]
    left_x, left_y = np.split(np.c_[x, y] - covariates @ fit, 2, axis=1)
    inside = left_x[train]
    found = ridge_operators(
        x[train] @ x[train].T, x[test] @ x[train].T, (covariates[train], covariates[test])
    )
    for operator, penalty in zip(found, PENALTIES, strict=True):
        ridge = penalty * (inside**2).sum() / 20 * np.eye(6)
        weights = np.linalg.solve(inside.T @ inside + ridge, inside.T @ left_y[train])
        np.testing.assert_allclose(operator @ y[train], left_x[test] @ weights, atol=1e-9)
    np.testing.assert_allclose(found @ covariates[train], 0, atol=1e-9)


def test_many_kernels_at_once_are_each_by_itself_and_an_empty_one_predicts_nothing():
    x = np.random.default_rng(1).normal(size=(3, 12, 4))
    x[2] = 7
    kernels, constant = x @ x.swapaxes(1, 2), (np.ones((8, 1)), np.ones((4, 1)))
    together = ridge_operators(kernels[:, :8, :8], kernels[:, 8:, :8], constant, [1.0])
    for kernel, operator in zip(kernels, together[0], strict=True):
        alone = ridge_operators(kernel[:8, :8], kernel[8:, :8], constant, [1.0])[0]
        np.testing.assert_allclose(operator, alone, atol=1e-12)
    np.testing.assert_allclose(together[0, 2], 0, atol=1e-12)


def test_joint_errors_are_those_of_the_targets_themselves():
    """What is computed from inner products equals ridge of every dimension with one common penalty."""
    design, rng = make_design(), np.random.default_rng(1)
    x, y = rng.normal(size=(design.n_samples, 7)), rng.normal(size=(design.n_samples, 5)).astype(np.float32)
    y += (x[:, :5] * [3, 0, 0, 0, 1]).astype(np.float32)
    ridge = DualRidge(x @ x.T, design.folds(), design)
    errors, base, chosen = ridge.joint((y @ y.T)[None])
    by_hand, by_mean = 0.0, 0.0
    for number, fold in enumerate(design.folds()):
        train, test = x[fold.train], x[fold.test]
        centre, level = train.mean(axis=0), y[fold.train].mean(axis=0)
        inside = train - centre
        penalty = PENALTIES[chosen[number, 0]] * (inside**2).sum() / len(train)
        weights = np.linalg.solve(inside.T @ inside + penalty * np.eye(7), inside.T @ (y[fold.train] - level))
        by_hand += ((level + (test - centre) @ weights - y[fold.test]) ** 2).sum()
        by_mean += ((level - y[fold.test]) ** 2).sum()
    assert errors[0] == pytest.approx(by_hand, rel=1e-4)
    assert base[0] == pytest.approx(by_mean, rel=1e-4)
    assert ridge.joint_base((y @ y.T)[None])[0] == pytest.approx(by_mean, rel=1e-4)

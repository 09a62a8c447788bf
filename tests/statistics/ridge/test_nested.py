"""Beyond the label: never more than what the label leaves, and nothing to the credit of a bad label."""

import numpy as np
import pytest
from fakes import clustered, make_design

from innerear.statistics.ridge import DualRidge, r2
from innerear.statistics.ridge.nested import joined_kernel, share_of_the_rest


def errors_of(covariates, targets, folds):
    """Sum the squared held-out errors of least squares."""
    fits = [covariates[fold.test] @ np.linalg.pinv(covariates[fold.train]) for fold in folds]
    parts = zip(fits, folds, strict=True)
    return sum(((fit @ targets[fold.train] - targets[fold.test]) ** 2).sum(axis=0) for fit, fold in parts)


def test_kernels_are_joined_about_their_mean_on_one_scale():
    x, y = np.random.default_rng(0).normal(size=(2, 9, 4)) * np.array([1, 50])[:, None, None] + 7
    joined = joined_kernel(x @ x.T, y @ y.T)
    parts = [(one - one.mean(axis=0)) / np.sqrt(((one - one.mean(axis=0)) ** 2).sum() / 9) for one in (x, y)]
    both = np.hstack(parts)
    np.testing.assert_allclose(joined, both @ both.T, atol=1e-6)
    assert not joined_kernel(np.zeros((3, 3))).any()


def test_a_label_that_predicts_badly_is_no_merit_of_the_measurements():
    """States follow the sound alone: the difference of R² is more than 1, the share of the rest is not."""
    design, rng = make_design(3, 1), np.random.default_rng(1)
    sound = clustered(design, (2,), 1, rng)
    states = sound[:, :1]
    folds, labels = design.folds(), design.covariates
    total = errors_of(np.ones_like(states), states, folds)
    by_label = errors_of(labels, states, folds)
    valid = np.ones_like(states)
    both = errors_of(np.c_[labels, states], states, folds)
    assert (r2(both, total) - r2(by_label, total)).item() > 1
    ridge = DualRidge(joined_kernel(labels @ labels.T), folds)
    joint = DualRidge(joined_kernel(labels @ labels.T, sound @ sound.T), folds)
    label, both = (one.errors(states, valid)[0].sum(axis=0) for one in (ridge, joint))
    assert 0.5 < share_of_the_rest(label, both, total).item() <= 1
    # A penalty keeps the label near the mean.
    assert label.item() < by_label.item()


@pytest.mark.parametrize("label", [0.5, 1, 30])
def test_the_share_is_at_most_1(label):
    both = np.linspace(0, 3, 7)
    found = share_of_the_rest(np.full(7, float(label)), both, np.ones(7))
    assert found.max() == 1
    assert (np.diff(found) < 0).all()

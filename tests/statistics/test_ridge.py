"""Ridge from inner products equals ridge of the features themselves."""

import numpy as np
import pytest
from fakes import make_design

from innerear.statistics.ridge import PENALTIES, DualRidge, packed, ridge_operators


def refitted(kernel, targets, train, test, penalty):
    """Residuals of the test samples by a fit to the training samples, with one penalty."""
    level, mean = targets[train].mean(axis=0), kernel[train].mean(axis=0)
    within = kernel[np.ix_(train, train)] - mean[train]
    within -= within.mean(axis=1, keepdims=True)
    beyond = kernel[np.ix_(test, train)] - mean[train]
    beyond -= beyond.mean(axis=1, keepdims=True)
    weights = np.linalg.solve(within + penalty * np.eye(len(train)), targets[train] - level)
    return targets[test] - level - beyond @ weights


def test_operators_are_those_of_the_features():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(25, 6)) + 2, rng.normal(size=20)  # 20 training and 5 test samples
    inside = x[:20] - x[:20].mean(axis=0)
    for penalty in PENALTIES:
        ridge = penalty * (inside**2).sum() / 20 * np.eye(6)
        weights = np.linalg.solve(inside.T @ inside + ridge, inside.T @ (y - y.mean()))
        found = ridge_operators(x[:20] @ x[:20].T, x[20:] @ x[:20].T, penalty)
        np.testing.assert_allclose(found @ y, (x[20:] - x[:20].mean(axis=0)) @ weights, atol=1e-9)
        np.testing.assert_allclose(found @ np.ones(20), 0, atol=1e-9)


def test_many_kernels_at_once_are_each_by_itself_and_an_empty_one_predicts_nothing():
    x = np.random.default_rng(1).normal(size=(3, 12, 4))
    x[2] = 7
    kernels = x @ x.swapaxes(1, 2)
    together = ridge_operators(kernels[:, :8, :8], kernels[:, 8:, :8], 1.0)
    for kernel, operator in zip(kernels, together, strict=True):
        np.testing.assert_allclose(operator, ridge_operators(kernel[:8, :8], kernel[8:, :8], 1.0), atol=1e-12)
    np.testing.assert_allclose(together[2], 0, atol=1e-12)


SHEETS = [({}, 5), ({"n_templates": 23}, 10), ({"templates": False}, 5)]


@pytest.mark.parametrize(("options", "n_folds"), SHEETS)
def test_one_factorisation_equals_fitting_every_fold_and_every_two(options, n_folds, monkeypatch):
    """In double precision to 1e-10."""
    monkeypatch.setattr(np, "float32", float)
    design, rng = make_design(**options), np.random.default_rng(2)
    folds, x = design.folds(), rng.normal(size=(design.n_samples, 7)) + 3
    assert len(folds) == n_folds
    kernel, targets, every = x @ x.T, rng.normal(size=(design.n_samples, 3)), np.arange(design.n_samples)
    scale = ((x - x.mean(axis=0)) ** 2).sum() / len(x)
    ridge = DualRidge(kernel, folds)
    missed = ridge.outer @ targets
    for penalty, found in zip(PENALTIES, missed, strict=True):
        for fold in folds:
            expected = refitted(kernel, targets, fold.train, fold.test, penalty * scale)
            np.testing.assert_allclose(found[fold.test], expected, atol=1e-10)
    for pair in ridge.pairs:
        first, second = folds[pair.f].test, folds[pair.g].test
        left_out = np.concatenate(pair.left_out(missed[:, first], missed[:, second]), axis=1)
        both = np.concatenate([first, second])
        for penalty, found in zip(PENALTIES, left_out, strict=True):
            expected = refitted(kernel, targets, np.setdiff1d(every, both), both, penalty * scale)
            np.testing.assert_allclose(found, expected, atol=1e-10)
    assert len(ridge.pairs) == n_folds * (n_folds - 1) / 2


def test_penalties_are_chosen_without_the_fold_that_is_judged():
    """What a fold's targets are changes none of the penalties that it is predicted with."""
    design, rng = make_design(), np.random.default_rng(3)
    x = rng.normal(size=(design.n_samples, 7))
    y = (x[:, :4] + 2 * rng.normal(size=(design.n_samples, 4))).astype(np.float32)
    ridge, other = DualRidge(x @ x.T, design.folds()), y.copy()
    other[design.folds()[0].test] = 9 * rng.normal(size=(len(design.folds()[0].test), 4))
    chosen = [ridge._penalties(ridge._missed(one), None) for one in (y, other)]
    np.testing.assert_array_equal(chosen[0][0], chosen[1][0])
    assert (chosen[0] != chosen[1]).any()


def inner_errors(kernel, targets, folds, number, scale):
    """Each penalty's squared error [penalties, columns] on the other folds, each fitted without both."""
    errors, every = np.zeros((len(PENALTIES), targets.shape[1])), np.arange(len(kernel))
    for other in folds[:number] + folds[number + 1 :]:
        train = np.setdiff1d(every, np.r_[folds[number].test, other.test])
        for row, penalty in zip(errors, PENALTIES, strict=True):
            row += (refitted(kernel, targets, train, other.test, penalty * scale) ** 2).sum(axis=0)
    return errors


def test_the_chosen_penalty_has_the_least_error_within_the_training_set():
    """Of each column by itself in `errors` and `sums`, of all together in `joint`."""
    design, rng = make_design(), np.random.default_rng(7)
    folds, x = design.folds(), rng.normal(size=(design.n_samples, 7)) + 2
    noise = np.array([0.03, 1, 4, 30])
    y = (x @ rng.normal(size=(7, 4)) + noise * rng.normal(size=(design.n_samples, 4))).astype(np.float32)
    kernel, scale, ridge = x @ x.T, ((x - x.mean(axis=0)) ** 2).sum() / len(x), DualRidge(x @ x.T, folds)
    inner = np.stack([inner_errors(kernel, y, folds, number, scale) for number in range(len(folds))])
    chosen = inner.argmin(axis=1)  # [folds, columns]
    assert len(np.unique(chosen)) > 3
    expected = np.empty_like(y)
    for numbers, fold in zip(chosen, folds, strict=True):
        for column, number in enumerate(numbers):
            one = refitted(kernel, y[:, column, None], fold.train, fold.test, PENALTIES[number] * scale)
            expected[fold.test, column] = one[:, 0] ** 2
    np.testing.assert_allclose(ridge.errors(y)[0], expected, rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(ridge.sums(y)[0], expected.sum(axis=0), rtol=1e-3)
    together = ridge.joint(packed(y @ y.T, folds)[None])[2][:, 0]
    np.testing.assert_array_equal(together, inner.sum(axis=2).argmin(axis=1))


@pytest.mark.parametrize("gaps", [False, True])
def test_sums_are_those_of_the_errors_where_they_matter_and_the_least_elsewhere(gaps):
    design, rng = make_design(), np.random.default_rng(5)
    x = rng.normal(size=(design.n_samples, 7))
    y = (x[:, :4] @ rng.normal(size=(4, 6)) + 3 * rng.normal(size=(design.n_samples, 6))).astype(np.float32)
    valid = (rng.random(y.shape) > 0.1).astype(np.float32) if gaps else None
    ridge, matter = DualRidge(x @ x.T, design.folds()), np.arange(6) % 2 == 0
    errors, base = (one.sum(axis=0) for one in ridge.errors(y, valid))
    every, some = ridge.sums(y, valid), ridge.sums(y, valid, lambda *_: matter)
    np.testing.assert_allclose(every, [errors, base], rtol=1e-5)
    np.testing.assert_array_equal(some[0][matter], every[0][matter])
    squares = (ridge.outer @ y) ** 2 * (1 if valid is None else valid)
    least = sum(squares[:, fold.test].sum(axis=1).min(axis=0) for fold in design.folds())
    np.testing.assert_allclose(some[0][~matter], least[~matter], rtol=1e-5)


@pytest.mark.parametrize(("options", "n_folds"), SHEETS)
def test_what_permutations_keep_is_left_out_and_changes_nothing(options, n_folds, monkeypatch):
    """In double precision to 1e-10, whether or not a fold holds whole groups."""
    monkeypatch.setattr(np, "float32", float)
    design, rng = make_design(**options), np.random.default_rng(6)
    x, fixed, moving = rng.normal(size=(design.n_samples, 7)), *rng.normal(size=(2, design.n_samples))
    columns = (fixed + moving[design.permutations(9)]).T
    plain, known = (DualRidge(x @ x.T, design.folds(), groups=groups) for groups in (None, design.groups))
    assert len(known._operators[0]) == design.n_samples - len(np.unique(design.groups))
    np.testing.assert_allclose(known._missed(columns)[1], plain._missed(columns)[1], atol=1e-10)
    np.testing.assert_allclose(known.sums(columns), plain.sums(columns), rtol=1e-10)


def test_two_folds_leave_nothing_to_choose_on():
    design, x = make_design(2), np.random.default_rng(4).normal(size=(16, 3))
    ridge = DualRidge(x @ x.T, design.folds())
    targets = x[:, :1].astype(np.float32)
    errors, _ = ridge.errors(targets, np.ones_like(targets))
    np.testing.assert_allclose(errors, (ridge.outer[PENALTIES.index(1.0)] @ targets) ** 2, atol=1e-6)
    joint = ridge.joint(packed(targets @ targets.T, ridge.folds)[None])
    assert joint[0][0] == pytest.approx(errors.sum(), rel=1e-4)


def test_joint_errors_are_those_of_the_targets_themselves():
    """What is computed from inner products equals ridge of every dimension with one common penalty."""
    design, rng = make_design(), np.random.default_rng(1)
    x, y = rng.normal(size=(design.n_samples, 7)), rng.normal(size=(design.n_samples, 5)).astype(np.float32)
    y += (x[:, :5] * [3, 0, 0, 0, 1]).astype(np.float32)
    ridge = DualRidge(x @ x.T, design.folds())
    errors, base, chosen = ridge.joint(packed(y @ y.T, ridge.folds)[None])
    by_hand, by_mean = 0.0, 0.0
    for number, fold in enumerate(design.folds()):
        train, test = x[fold.train], x[fold.test]
        centre, level = train.mean(axis=0), y[fold.train].mean(axis=0)
        inside = train - centre
        penalty = PENALTIES[chosen[number, 0]] * ((x - x.mean(axis=0)) ** 2).sum() / len(x)
        weights = np.linalg.solve(inside.T @ inside + penalty * np.eye(7), inside.T @ (y[fold.train] - level))
        by_hand += ((level + (test - centre) @ weights - y[fold.test]) ** 2).sum()
        by_mean += ((level - y[fold.test]) ** 2).sum()
    assert errors[0] == pytest.approx(by_hand, rel=1e-4)
    assert base[0] == pytest.approx(by_mean, rel=1e-4)

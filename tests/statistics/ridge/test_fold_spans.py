"""In the spans of few predictors a small problem has the errors of the large one, whatever moves."""

import numpy as np
import pytest
from fakes import make_design

from innerear.statistics.ridge import DualRidge, packed
from innerear.statistics.ridge.fold_spans import FoldSpans
from innerear.statistics.ridge.nested import joined_kernel

SHEETS = [{}, {"n_templates": 23}, {"templates": False}]


@pytest.mark.parametrize("n_predictors", [2, 30])  # 30 are more than a fold has samples
@pytest.mark.parametrize("options", SHEETS)
def test_errors_and_penalties_are_those_of_all_samples(options, n_predictors):
    design, rng = make_design(**options), np.random.default_rng(0)
    predictors = rng.normal(size=(design.n_samples, n_predictors)) + 3
    targets = rng.normal(size=(design.n_samples, 6)) + predictors[:, :1]
    folds, gram = design.folds(), (targets @ targets.T).astype(np.float32)
    table, kernel = design.permutations(9), joined_kernel(predictors @ predictors.T)
    large, spans = DualRidge(kernel, folds), FoldSpans(predictors, folds)
    small = spans.ridge(kernel)
    moved = np.stack([gram[np.ix_(order, order)] for order in table])
    expected, products = large.joint(packed(moved, folds)), spans.products(gram, table)
    outside = np.trace(gram) - spans.trace(products)
    errors, base, chosen = small.joint(products)
    np.testing.assert_allclose(errors + outside, expected[0], rtol=1e-4)
    np.testing.assert_allclose(base + outside, expected[1], rtol=1e-4)
    np.testing.assert_array_equal(chosen, expected[2])
    columns = targets.astype(np.float32)
    np.testing.assert_allclose(spans.sums(kernel)(columns), large.sums(columns), rtol=1e-4)


@pytest.mark.parametrize("options", SHEETS)
def test_products_are_of_moved_targets_in_an_orthonormal_basis(options):
    design, rng = make_design(**options), np.random.default_rng(1)
    targets = rng.normal(size=(design.n_samples, 5)).astype(np.float32)
    spans = FoldSpans(rng.normal(size=(design.n_samples, 2)), design.folds())
    np.testing.assert_allclose(spans.basis.T @ spans.basis, np.eye(spans.basis.shape[1]), atol=1e-5)
    table = design.permutations(7)
    moved = np.stack([spans.basis.T @ targets[order] for order in table])
    np.testing.assert_allclose(spans.moved(targets, table), moved, atol=1e-5)
    expected = packed(moved @ moved.swapaxes(1, 2), spans.folds)
    np.testing.assert_allclose(spans.products(targets @ targets.T, table), expected, atol=1e-4)
    np.testing.assert_allclose(spans.trace(expected), (moved**2).sum(axis=(1, 2)), rtol=1e-4)
    one, other = moved[..., :2], moved[..., 2:4]
    both = one @ other.swapaxes(1, 2)
    expected = packed(both + both.swapaxes(1, 2), spans.folds)
    np.testing.assert_allclose(spans.both_ways(one, other), expected, atol=1e-4)


def test_predictors_that_repeat_each_other_span_no_more():
    design = make_design()
    column = np.random.default_rng(2).normal(size=(design.n_samples, 1))
    spans = FoldSpans(np.hstack([column, 2 * column + 1]), design.folds())
    assert [len(fold.test) for fold in spans.folds] == [2] * len(design.folds())

"""Sums over few predictors give the errors of ridge from their kernel, whatever moves."""

import numpy as np
import pytest
from fakes import make_design

from innerear.statistics.ridge import PENALTIES, DualRidge
from innerear.statistics.ridge.primal import PrimalRidge


@pytest.mark.parametrize("n_predictors", [2, 60])  # 60 are more than there are samples to fit on
@pytest.mark.parametrize("options", [{}, {"n_templates": 23}, {"templates": False}])
def test_errors_are_those_of_the_kernel(options, n_predictors):
    design, rng = make_design(**options), np.random.default_rng(0)
    predictors = 3 * rng.normal(size=(design.n_samples, n_predictors)) + 3
    targets = (rng.normal(size=(design.n_samples, 5)) + predictors[:, :1] + 2).astype(np.float32)
    folds, table = design.folds(), design.permutations(len(PENALTIES))
    chosen = rng.permuted(np.tile(np.arange(len(PENALTIES)), (len(folds), 1)), axis=1)
    dual = DualRidge(predictors @ predictors.T, folds)
    errors, base = PrimalRidge(predictors, folds).errors(targets, table, chosen)
    moved = targets[table]
    np.testing.assert_allclose(errors, ((dual.chosen(chosen) @ moved) ** 2).sum(axis=1), rtol=2e-4)
    np.testing.assert_allclose(base, ((dual.base @ moved) ** 2).sum(axis=1), rtol=1e-4)

"""Contrasts of two conditions within templates, against random edits that were measured on some templates."""

import numpy as np
import pytest
from scipy.stats import binom

from innerear.statistics import paired

SIZES = {"permutations": 99, "bootstraps": 50, "seed": 0}
TEMPLATES = [f"t{i}" for i in range(6)]
MEASURED = np.arange(6) < 2


def p_values(contrasts, effects):
    """p of contrasts [cells, 6] against effects of random edits on the clips of the first two templates."""
    design = paired.pole_design(TEMPLATES, ("low", "high"), SIZES)
    random = paired.RandomEffects(effects, MEASURED, "random directions")
    return paired.tested({"cell": range(len(contrasts))}, contrasts, design, "cells", random)


@pytest.mark.parametrize(("where", "p"), [(MEASURED, 1 / 20), (~MEASURED, 1.0)])
def test_an_edit_is_compared_on_the_templates_that_the_random_ones_were_measured_on(where, p):
    rng = np.random.default_rng(0)
    effects = 0.2 + rng.random(size=(19, 1))
    contrasts = 3.0 * where + 0.01 * rng.normal(size=6)
    table = p_values(contrasts[None], effects)
    assert table["p"].tolist() == table["p_corrected"].tolist() == [pytest.approx(p)]
    # The estimate is of all templates.
    assert table["estimate"][0] == pytest.approx(contrasts.mean())
    assert table["null"][0] == "19 random directions, on the clips of 2 templates"


def test_an_edit_like_a_random_one_keeps_its_level():
    rng, found, n = np.random.default_rng(1), 0, 100
    for _ in range(n):
        effects, contrasts = rng.normal(size=(19, 3)) / np.sqrt(2), rng.normal(size=(3, 6))
        found += (p_values(contrasts, effects)["p_corrected"] <= 0.05).any()
    assert binom.ppf(0.001, n, 0.05) <= found <= binom.ppf(0.999, n, 0.05), found

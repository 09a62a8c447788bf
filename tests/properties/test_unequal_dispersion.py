"""Labels of unequal dispersion without any effect: relabeling finds too much, sign flips of templates do not.

Steps are independent data: one call tests hundreds of null studies.
"""

from functools import cache

import numpy as np
import pytest
from fakes import Measured, analysed, codes_of, make_design, rows
from scipy.stats import binom

from innerear.analyses import discriminability, similarity
from innerear.analyses.discriminability import DISPERSION, DISTANCE
from innerear.analyses.similarity import CENTRED, OTHER_SEED

N = 400
HEADLINES = {DISTANCE: (discriminability, {}), OTHER_SEED: (similarity, {"measure": CENTRED})}


@cache
def found(name, spread, effect=0.0, n_templates=8):
    """The rows of a headline in uncond at N steps, each a study whose labels disperse as `spread`."""
    design, rng = make_design(n_templates), np.random.default_rng(1)
    sd = np.array(spread)[codes_of(design.prompt_labels)]
    prompt = rng.normal(size=(design.n_prompts, N, 12)) * sd[:, None, None]
    prompt += rng.normal(size=(design.n_blocks, N, 12))[design.block_of]
    prompt += effect * rng.normal(size=(4, N, 12))[design.targets.argmax(axis=1)]
    x = prompt[design.prompt_of] + 0.5 * rng.normal(size=(design.n_samples, N, 12))
    gram = Measured(x[:, None].repeat(2, axis=1).astype(np.float32), design)
    gram.axes = gram.axes | {"branch": np.array(["uncond"])}
    analysis, where = HEADLINES[name]
    table = analysed(analysis, gram, design, n_permutations=199, n_bootstraps=2).table
    return rows(table, statistic=name, over="steps", **where)


@pytest.mark.parametrize("name", HEADLINES)
def test_both_tests_keep_their_level_where_labels_disperse_alike(name):
    table, (low, high) = found(name, (1, 1, 1, 1)), binom.interval(0.999, N, 0.05)
    assert low <= (table["p"] <= 0.05).sum() <= high
    assert low / 2 <= (table["p_flip"] <= 0.05).sum() <= high


@pytest.mark.parametrize("name", HEADLINES)
def test_flips_keep_their_level_where_labels_disperse_unequally(name):
    table, high = found(name, (1, 1, 1, 3)), binom.ppf(0.999, N, 0.05)
    assert (table["p_flip"] <= 0.05).sum() <= high
    assert ((table["p"] <= 0.05) & (table["p_flip"] <= 0.05)).sum() <= high


def test_relabeling_does_not_so_flips_are_needed():
    """The test above can fail: the same data reject too often by relabeling."""
    assert (found(DISTANCE, (1, 1, 1, 3))["p"] <= 0.05).sum() > binom.ppf(0.999, N, 0.05)


@pytest.mark.parametrize("name", HEADLINES)
def test_a_planted_effect_is_found_by_both(name):
    table = found(name, (1, 1, 1, 1), effect=0.5)
    assert (table["p"] <= 0.05).mean() > 0.9
    assert (table["p_flip"] <= 0.05).mean() > 0.85
    assert (table["k"] / table["n_templates"]).mean() > 0.8


@pytest.mark.parametrize("n_templates", [4, 6, 10])
@pytest.mark.parametrize("tails", ["normal", "heavy"])
def test_dispersion_keeps_its_level(n_templates, tails):
    design, rng = make_design(n_templates), np.random.default_rng(2)
    size = (design.n_prompts, N, 12)
    prompt = rng.normal(size=size)
    if tails == "heavy":
        prompt *= np.sqrt(3 / rng.chisquare(3, size=(*size[:2], 1)))
    x = prompt[design.prompt_of] + 0.3 * rng.normal(size=(design.n_samples, N, 12))
    gram = Measured(x[:, None].repeat(2, axis=1).astype(np.float32), design)
    gram.axes = gram.axes | {"branch": np.array(["uncond"])}
    table = analysed(discriminability, gram, design, n_permutations=199, n_bootstraps=2).table
    p = rows(table, statistic=DISPERSION, over="steps")["p"]
    assert (p <= 0.05).sum() <= binom.ppf(0.999, N, 0.05), (p <= 0.05).mean()


def test_dispersion_of_few_templates_is_not_tested():
    design = make_design(3)
    x = np.random.default_rng(0).normal(size=(design.n_samples, 2, 12, 6)).astype(np.float32)
    table = rows(analysed(discriminability, Measured(x, design), design).table, statistic=DISPERSION)
    assert table["p"].isna().all()
    assert table["null"].str.contains("3 templates: dispersion is tested from 4 on").all()

"""Contrasts of templates: their products are the distance, and flips of them keep the level."""

import numpy as np
import pandas as pd
import pytest
from fakes import EMOTIONS, codes_of, make_design, sheet, sized
from scipy.stats import binom

from innerear.statistics.anova import Anova
from innerear.statistics.design import Design
from innerear.statistics.design.flips import flipped_sums
from innerear.statistics.design.template_contrasts import (
    covariances,
    label_contrasts,
    odd_flips,
    of_features,
    of_kernel,
)
from innerear.statistics.label_distance import Distance
from innerear.statistics.noise import noise_normalised_kernel
from innerear.statistics.table import blank, record, record_flips


def unbalanced():
    """Seven templates; one lacks an emotion, one holds an emotion in two prompts."""
    table = sheet(7, 1)
    table = table[~((table["template"] == "t1") & (table["emotion"] == "sad"))]
    more = table[table["prompt_id"] == "t2-calm"].assign(prompt_id="t2-calm2", sample_id="t2-calm2/seed-0")
    return Design(pd.concat([table, more]))


@pytest.mark.parametrize("design", [make_design(6, 1), unbalanced()])
def test_their_mean_product_is_the_cross_validated_distance(design):
    x = np.random.default_rng(0).normal(size=(design.n_prompts, 5))
    contrasts = label_contrasts(design)
    between = of_features(contrasts, x).sum(axis=0)
    n = design.n_blocks
    mean = flipped_sums(between[None], np.ones((1, n), int)).item() / (n * (n - 1))
    assert mean == pytest.approx((Distance(design).weights * (x @ x.T)).sum())
    by_kernel = of_kernel(contrasts.swapaxes(0, 1), x @ x.T).sum(axis=0)
    np.testing.assert_allclose(by_kernel * (x**2).sum() / len(x), between, atol=1e-9)


def rejected(n, spread, effect=0.0, n_templates=8):
    """How many of n studies of one feature have p, and p_flip, at .05; of categories and of a rating."""
    design = sized(make_design(n_templates, 1), 199)
    rng, codes = np.random.default_rng(1), codes_of(design.prompt_labels)
    means = rng.normal(size=(design.n_prompts, n)) * np.array(spread)[codes, None]
    means += effect * rng.normal(size=(4, n))[codes]
    table = blank({"statistic": ["F"] * n}, design)
    anova, every = Anova(design), np.arange(n)
    record(table, every, design, anova.f(means), anova.null(means), family="", standardise=False)
    record_flips(table, every, design, of_features(label_contrasts(design), means))
    return (table[["p", "p_flip"]].to_numpy(float) <= 0.05).sum(axis=0)


def test_level_under_equal_and_unequal_spread():
    """At sd 1, 1, 1, 3 the permutation rejects too often, the flips do not."""
    n = 1000
    low, high = binom.interval(0.999, n, 0.05)
    equal, unequal = rejected(n, (1, 1, 1, 1)), rejected(n, (1, 1, 1, 3))
    assert (equal >= low).all() and (equal <= high).all(), equal
    assert unequal[0] > high, unequal
    assert unequal[1] <= high, unequal


def test_power_is_hardly_lost():
    n = 300
    p, p_flip = rejected(n, (1, 1, 1, 1), effect=1)
    assert p > 0.7 * n
    assert p_flip > 0.6 * n


def test_a_rating_with_unequal_spread():
    """Spread that differs by rating: permutation rejects too often, flips of covariances do not."""
    ratings = dict(zip(EMOTIONS, ((0, -1), (0, -0.3), (0, 0.3), (0, 1)), strict=True))
    n, design = 1000, sized(make_design(8, 1, ratings=ratings, label="arousal"), 199)
    rng, rating = np.random.default_rng(2), design.targets[:, 0]
    means = rng.normal(size=(design.n_prompts, n)) * (0.2 + 3 * (rating == 1) + (rating < 0))[:, None]
    table, every = blank({"statistic": ["F"] * n}, design), np.arange(n)
    anova = Anova(design)
    record(table, every, design, anova.f(means), anova.null(means), family="", standardise=False)
    record_flips(table, every, design, of_features(label_contrasts(design), means))
    p, p_flip = (table[["p", "p_flip"]].to_numpy(float) <= 0.05).sum(axis=0)
    high = binom.ppf(0.999, n, 0.05)
    assert p > high
    assert p_flip <= high
    planted = means + 3 * rating[:, None]
    record_flips(table, every, design, of_features(label_contrasts(design), planted))
    assert (table["p_flip"] <= 0.05).mean() > 0.8
    assert (table["k"] >= 6).mean() > 0.8


def test_covariances_are_covariances():
    design, rng = make_design(6, 1), np.random.default_rng(3)
    ratings, x = rng.normal(size=(2, design.n_prompts))
    found = covariances(ratings[:, None], design)[0] @ x  # [T]
    members = [design.block_of == t for t in range(6)]
    expected = [((ratings[m] - ratings[m].mean()) * (x[m] - x[m].mean())).sum() for m in members]
    np.testing.assert_allclose(found, expected)


def test_odd_flips_hold_one_of_each_vector_and_its_opposite():
    design = sized(make_design(7), 100)
    odd = odd_flips(design)
    assert (odd[0] == 1).all() and len(odd) == 64
    assert len({tuple(abs(one[0]) * one[0] * one) for one in odd.tolist() for one in [np.array(one)]}) == 64
    assert 10 < (odd[1:, 0] < 0).sum() < 54


def test_the_noise_is_whitened_as_its_shrunken_covariance_says():
    design, rng = make_design(4, 3), np.random.default_rng(4)
    x = rng.normal(size=(design.n_samples, 6)) @ rng.normal(size=(6, 6)) + 3 * rng.normal(size=6)
    first, second, third = x[design.rows].swapaxes(0, 1)  # [P, D]
    noise = np.concatenate([(first - second) / 2**0.5, (first + second - 2 * third) / 6**0.5])
    n, scale = len(noise), np.sqrt((noise**2).mean(axis=0))
    z = noise / scale
    products = z[:, :, None] * z[:, None]  # [n, D, D]
    correlation, off = products.mean(axis=0), ~np.eye(6, dtype=bool)
    shrinkage = (products.var(axis=0, ddof=1)[off] / n).sum() / (correlation[off] ** 2).sum()
    covariance = ((1 - shrinkage) * correlation + shrinkage * np.eye(6)) * np.outer(scale, scale)
    means = (x - x.mean(axis=0))[design.rows].mean(axis=1)
    expected = means @ np.linalg.inv(covariance) @ means.T
    np.testing.assert_allclose(noise_normalised_kernel(x, design), expected, rtol=1e-6, atol=1e-9)
    # Units of the dimensions do not matter, a dimension without noise does not count.
    more = np.hstack([x * np.array([1, 5, 1, 1, 0.1, 1]), np.ones((len(x), 1))])
    np.testing.assert_allclose(noise_normalised_kernel(more, design), expected, rtol=1e-6, atol=1e-9)
    assert np.isfinite(noise_normalised_kernel(rng.normal(size=(len(x), 300)), design)).all()
    assert np.isfinite(noise_normalised_kernel(x[: len(x) // 3], make_design(4, 1))).all()

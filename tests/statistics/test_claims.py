"""Corrections over a page keep their promise, bounds cover the effect, and levels need both p."""

import numpy as np
import pytest
from fakes import clustered, make_design, sized
from scipy.stats import false_discovery_control, norm, t

from innerear.statistics.claims import (
    ESTABLISHED,
    NOT_ESTABLISHED,
    SENTENCES,
    benjamini_hochberg,
    holm,
    level,
    upper_bound,
    why_no_flips,
)
from innerear.statistics.label_distance import Distance
from innerear.statistics.significance import percentile_interval
from innerear.study.power import smallest_flip_p

RNG = np.random.default_rng


def test_holm_keeps_the_rate_of_any_false_claim_whatever_is_true():
    """One effect is real and two are not. Uncorrected, there would be twice as many false claims."""
    p = RNG(0).uniform(size=(4000, 3))
    p[:, 0] = 1e-4
    any_false = np.mean([(holm(one)[1:] <= 0.05).any() for one in p])
    assert any_false == pytest.approx(0.05, abs=0.01)
    assert (p[:, 1:] <= 0.05).any(axis=1).mean() > 0.08


def test_holm_counts_questions_that_could_not_be_tested_and_benjamini_hochberg_does_not():
    p = np.array([0.02, np.nan, 0.03])
    np.testing.assert_allclose(holm(p), [0.06, np.nan, 0.06])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.03, np.nan, 0.03])
    assert len(holm(np.array([]))) == len(benjamini_hochberg(np.array([]))) == 0


def test_benjamini_hochberg_and_bounds_are_those_of_scipy_which_takes_long_to_import():
    p = RNG(2).uniform(size=50).round(1)  # with ties
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p))
    ends = norm.ppf(0.975) * np.sqrt(1 - 1 / 5)
    assert upper_bound(1.0, 2.0, 5) == pytest.approx(1 + t.ppf(0.95, 4) / ends)


def test_corrected_p_keep_the_order_and_are_at_most_one():
    p = RNG(1).uniform(size=30)
    for corrected in (holm(p), benjamini_hochberg(p)):
        assert (np.diff(corrected[np.argsort(p)]) >= 0).all()
        assert (corrected >= p).all()
        assert corrected.max() <= 1


@pytest.mark.parametrize("p", [0.05, 0.0501, np.nan])
@pytest.mark.parametrize("p_flip", [0.05, 0.0501, np.nan])
def test_a_claim_over_templates_needs_both(p, p_flip):
    first = ESTABLISHED if p_flip <= 0.05 else SENTENCES
    assert level(p, p_flip) == (first if p <= 0.05 else NOT_ESTABLISHED)


def test_flips_reach_a_twentieth_from_six_templates_on():
    assert smallest_flip_p(5, 1000) == 1 / 16 > 0.05
    assert smallest_flip_p(6, 1000) == 1 / 32
    assert smallest_flip_p(20, 1000) == 1 / 1001
    assert "5 templates, whose sign flips cannot reach a p below 0.062" in why_no_flips(5)
    assert "cannot" not in why_no_flips(8)
    assert why_no_flips(0) == "there are no templates"


@pytest.mark.parametrize("n_templates", [5, 10, 30])
def test_a_bound_of_a_mean_over_templates_covers_it_in_nineteen_of_twenty_studies(n_templates):
    """Not so the 95 % point of the bootstrap itself, which is too short with few templates."""
    rng = RNG(n_templates)
    data = rng.normal(size=(1500, n_templates))
    counts = rng.multinomial(n_templates, np.full(n_templates, 1 / n_templates), size=400) / n_templates
    boots = data @ counts.T  # [studies, 400]
    estimate, ci_hi = data.mean(axis=1), np.quantile(boots, 0.975, axis=1)
    covered = (upper_bound(estimate, ci_hi, n_templates) >= 0).mean()
    assert covered == pytest.approx(0.95, abs=0.015)
    if n_templates == 5:
        assert (np.quantile(boots, 0.95, axis=1) >= 0).mean() < 0.92


def test_a_bound_from_a_t_interval_is_that_of_t():
    data = RNG(3).normal(size=6)
    mean, error = data.mean(), data.std(ddof=1) / np.sqrt(6)
    bounds = upper_bound(
        np.array([mean] * 2), mean + t.ppf(0.975, 5) * error, 6, by_t=np.array([True, False])
    )
    assert bounds[0] == pytest.approx(mean + t.ppf(0.95, 5) * error)
    assert bounds[1] > bounds[0]


@pytest.mark.parametrize("size", [0.0, 0.3])
def test_a_bound_of_a_distance_covers_the_true_one(size):
    """Of the squared distance of two labels' means, cross-validated over 8 templates."""
    design = sized(make_design(8, 2, emotions=("happy", "sad")), 9, 200)
    distance, covered = Distance(design), 0
    apart = size * np.where(design.labels == "happy", 0.5, -0.5)[:, None]
    for study in range(80):
        x = clustered(design, (6,), 0.5, RNG(study)) + apart
        means = (x - x.mean(axis=0))[design.rows].mean(axis=1)  # [P, 6]
        kernel = (means @ means.T)[None]
        estimate = np.array([(distance.weights * kernel[0]).sum()])
        ci_hi = percentile_interval(estimate, distance.bootstrap(kernel), "")[1]
        covered += int(upper_bound(estimate, ci_hi, 8)[0] >= 6 * size**2)
    assert covered >= 71  # P(fewer of 80 at .95) = .004

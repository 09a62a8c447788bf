"""One ANOVA of prompt means: the textbook's, with and without templates, for labels and for ratings."""

import numpy as np
import pytest
from fakes import EMOTIONS, make_design, sheet, sized
from scipy.stats import f_oneway, linregress

from innerear.statistics.anova import Anova
from innerear.statistics.design import Design


def means_of(design, seed=0, n=6):
    return np.random.default_rng(seed).normal(size=(design.n_prompts, n)) * 3 + 100


def by_least_squares(design, means, columns):
    """F of columns [P, k] beside indicators of the blocks."""
    blocks = np.equal.outer(design.block_of, np.arange(design.n_blocks)).astype(float)
    residuals, ranks = [], []
    for basis in (blocks, np.hstack([blocks, columns])):
        fitted = basis @ np.linalg.lstsq(basis, means, rcond=None)[0]
        residuals.append(((means - fitted) ** 2).sum(axis=0))
        ranks.append(np.linalg.matrix_rank(basis))
    between, within = ranks[1] - ranks[0], design.n_prompts - ranks[1]
    return (residuals[0] - residuals[1]) / between / (residuals[1] / within)


def test_without_templates_it_is_the_one_way_anova():
    design = make_design(templates=False)
    means = means_of(design)
    groups = [means[design.prompt_labels == name] for name in EMOTIONS]
    np.testing.assert_allclose(Anova(design).f(means), f_oneway(*groups).statistic)


@pytest.mark.parametrize("lacking", [[], ["t0-happy", "t1-sad"]])
def test_with_templates_it_is_least_squares_also_where_a_template_lacks_a_label(lacking):
    table = sheet(5)
    design = Design(table[~table["prompt_id"].isin(lacking)])
    means = means_of(design)
    np.testing.assert_allclose(Anova(design).f(means), by_least_squares(design, means, design.targets))


@pytest.mark.parametrize("templates", [True, False])
def test_of_a_rating_it_is_the_slope(templates):
    table = sheet(5, templates=templates)
    rating = dict(zip(table["prompt_id"].unique(), np.random.default_rng(1).normal(size=20), strict=True))
    design = Design(table.assign(valence=table["prompt_id"].map(rating)), "valence")
    means, anova = means_of(design), Anova(design)
    np.testing.assert_allclose(anova.f(means), by_least_squares(design, means, design.targets))
    if not templates:
        slopes = [linregress(design.targets[:, 0], one) for one in means.T]
        np.testing.assert_allclose(anova.f(means), [(one.slope / one.stderr) ** 2 for one in slopes])


@pytest.mark.parametrize("templates", [True, False])
def test_the_null_is_f_of_exchanged_prompts(templates):
    design = sized(make_design(templates=templates), 7)
    means, anova = means_of(design), Anova(design)
    null = anova.null(means)
    # The label moves to each prompt from its stand-in, so the measurements move the other way.
    expected = [anova.f(means[np.argsort(row)]) for row in design.prompt_permutations()]
    np.testing.assert_allclose(null, expected)
    assert Anova(sized(design, 0)).null(means).shape == (0, 6)


def test_projectors_and_degrees_of_freedom():
    anova = Anova(make_design())
    assert (anova.between, anova.within) == (3, 12)
    for projector in (anova.remove, anova.label):
        np.testing.assert_allclose(projector @ projector, projector, atol=1e-12)
    np.testing.assert_allclose(anova.remove @ anova.label, anova.label, atol=1e-12)
    assert np.trace(anova.label) == pytest.approx(3)


@pytest.mark.parametrize("templates", [True, False])
def test_f_does_not_depend_on_where_zero_is(templates):
    """A spread of a millionth of the size is no rounding, neither of the means nor of a rating."""
    table = sheet(5, templates=templates)
    rating = dict(zip(table["prompt_id"].unique(), np.random.default_rng(1).normal(size=20), strict=True))
    near = table.assign(valence=table["prompt_id"].map(rating))
    far = near.assign(valence=near["valence"] + 1e6)
    one, other = Design(near, "valence"), Design(far, "valence")
    means = np.random.default_rng(2).normal(size=(20, 6))
    expected = Anova(one).f(means)
    np.testing.assert_allclose(Anova(one).f(means + 1e6), expected, rtol=1e-6)
    np.testing.assert_allclose(Anova(other).f(means), expected, rtol=1e-6)


def test_what_does_not_vary_has_no_f():
    design = make_design(templates=False)
    assert np.isnan(Anova(design).f(np.full((20, 1), 5.1))).all()
    single = Anova(make_design(n_templates=1))
    assert "leave no variance" in single.why_not
    assert np.isnan(single.f(np.ones((4, 2)))).all()
    alike = Anova(Design(sheet(emotions=("happy",))))
    assert alike.why_not == "all prompts have one emotion"
    assert np.isnan(alike.null(np.ones((5, 2)))).all()

"""Distances between labels and variance explained equal what textbooks compute from the features."""

from functools import partial

import fakes
import numpy as np
import pytest
from fakes import EMOTIONS, centred, clustered, sized
from scipy.stats import f_oneway

from innerear.statistics.design import Design
from innerear.statistics.label_distance import Distance, Explained, permuted_sums, prompt_means

RATINGS = dict(zip(EMOTIONS, ((0.8, 0), (-0.7, 0), (0.5, 0), (0.4, 0)), strict=True))
make_design = partial(fakes.make_design, n_templates=4)


def test_distance_equals_the_products_of_fold_differences(features):
    design, x, kernel = features
    means = {
        (t, e): x[(design.samples["template"] == f"t{t}") & (design.labels == e)].mean(axis=0)
        for t in range(4)
        for e in EMOTIONS
    }
    products = [
        (means[f, a] - means[f, b]) @ (means[g, a] - means[g, b])
        for a in EMOTIONS
        for b in EMOTIONS
        if a < b
        for f in range(4)
        for g in range(4)
        if f != g
    ]
    distance = Distance(design)
    prompts = prompt_means(kernel, design)
    assert (distance.weights * prompts[0]).sum() == pytest.approx(np.mean(products))
    folds = distance.fold_products(prompts[0], np.arange(design.n_prompts)[None])[0]
    assert folds[~np.eye(4, dtype=bool)].mean() == pytest.approx(np.mean(products))


def test_distance_of_a_rating_is_the_squared_slope(features):
    _, x, kernel = features
    design = make_design(ratings=RATINGS, label="valence")
    means = np.array([x[design.prompt_of == p].mean(axis=0) for p in range(design.n_prompts)])
    rating = design.targets[:, 0]
    slopes = [np.polyfit(rating[design.block_of == t], means[design.block_of == t], 1)[0] for t in range(4)]
    expected = np.mean([slopes[f] @ slopes[g] for f in range(4) for g in range(4) if f != g])
    assert (Distance(design).weights * prompt_means(kernel, design)[0]).sum() == pytest.approx(expected)


def test_bootstrap_of_the_distance_equals_resampling_by_hand(features):
    design, _, kernel = features
    got = Distance(sized(design, n_bootstraps=30)).bootstrap(kernel)[:, 0]
    boots = design.bootstraps(30)
    block = design.block_of[design.prompt_of]
    for k in (0, 7, 29):
        u, w = boots.units[k], boots.seeds[k]
        if (u > 0).sum() < 2:
            continue
        numerator, total = 0.0, 0.0
        for f in range(4):
            for g in range(4):
                if f == g:
                    continue
                for r in range(2):
                    for s in range(2):
                        weight = u[f] * u[g] * (w[r] if r == s else w[r] * w[s])
                        first, second = (
                            {
                                e: np.flatnonzero(
                                    (block == t) & (design.labels == e) & (design.seed_of == q)
                                )[0]
                                for e in EMOTIONS
                            }
                            for t, q in ((f, r), (g, s))
                        )
                        value = np.mean([
                            kernel[0, first[a], second[a]] + kernel[0, first[b], second[b]]
                            - kernel[0, first[a], second[b]] - kernel[0, first[b], second[a]]
                            for a in EMOTIONS for b in EMOTIONS if a < b
                        ])  # fmt: skip
                        numerator, total = numerator + weight * value, total + weight
        assert got[k] == pytest.approx(numerator / total, rel=1e-4)


def test_permuted_sums_equal_relabelling_by_hand(features):
    design, _, kernel = features
    prompts = prompt_means(kernel, design)
    null = permuted_sums(Distance(design).weights, prompts, design.prompt_permutations(5))[:, 0]
    for value, row in zip(null, design.permutations(5), strict=True):
        moved = Design(design.samples.assign(emotion=design.labels[row]))
        assert value == pytest.approx((Distance(moved).weights * prompts[0]).sum())


def test_omega_squared_without_templates_equals_the_anova_of_prompt_means():
    design = make_design(n_templates=5, templates=False)
    rng = np.random.default_rng(0)
    codes = np.unique(design.labels, return_inverse=True)[1]
    x = clustered(design, (1,), 0.5, rng) + rng.normal(size=(4, 1))[codes]
    means = x[design.rows].mean(axis=1)  # [P, 1]
    f = f_oneway(*(means[design.prompt_labels == e, 0] for e in EMOTIONS)).statistic
    expected = 3 * (f - 1) / (3 * (f - 1) + 20)
    model, kernel = Explained(design), prompt_means((centred(x) @ centred(x).T)[None], design)
    explained = np.einsum("pq,cpq->c", model.label, kernel)
    assert (model.between, model.within) == (3, 16)
    assert model.omega_squared(explained, kernel)[0] == pytest.approx(expected)
    # Dispersion: the one-way F of the distances to each label's mean.
    centres = np.array([means[design.prompt_labels == e].mean() for e in design.prompt_labels])
    z = np.abs(means[:, 0] - centres)
    got = model.dispersion_f(kernel, np.arange(design.n_prompts)[None])[0, 0]
    assert got == pytest.approx(f_oneway(*(z[design.prompt_labels == e] for e in EMOTIONS)).statistic)


def test_permuted_dispersion_equals_permuting_residuals_by_hand(features):
    design, x, kernel = features
    model = Explained(design)
    rest = model.remove - model.label
    residual = rest @ x[design.rows].mean(axis=1)
    for row, got in zip(
        design.prompt_permutations(4),
        model.dispersion_f(prompt_means(kernel, design), design.prompt_permutations(4))[:, 0],
        strict=True,
    ):
        z = model.remove @ np.linalg.norm(rest @ residual[row], axis=1)
        between = z @ model.label @ z
        assert got == pytest.approx(between / 3 / ((z @ z - between) / 9))


def test_omega_squared_with_templates_equals_nested_least_squares(features):
    design, x, kernel = features
    means = x[design.rows].mean(axis=1)
    blocks = np.equal.outer(design.block_of, np.arange(4)).astype(float)

    def residual(regressors):
        return ((means - regressors @ np.linalg.lstsq(regressors, means, rcond=None)[0]) ** 2).sum()

    total, rest = residual(blocks), residual(np.hstack([blocks, design.targets]))
    mean_square = rest / 9
    model, prompts = Explained(design), prompt_means(kernel, design)
    assert (model.between, model.within) == (3, 9)
    got = model.omega_squared(np.einsum("pq,cpq->c", model.label, prompts), prompts)[0]
    assert got == pytest.approx((total - rest - 3 * mean_square) / (total + mean_square))

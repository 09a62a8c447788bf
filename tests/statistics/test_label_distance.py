"""Distances between labels and variance explained equal what textbooks compute from the features."""

from functools import partial
from itertools import combinations

import fakes
import numpy as np
import pytest
from fakes import EMOTIONS, centred, clustered, codes_of, sized
from scipy.stats import f_oneway

from innerear.statistics.design import Design
from innerear.statistics.label_distance import (
    Distance,
    Explained,
    flipped_fold_products,
    kernel_of_prompts,
    permuted_sums,
)

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
    prompts = kernel_of_prompts(kernel, design)
    assert (distance.weights * prompts[0]).sum() == pytest.approx(np.mean(products))
    folds = distance.fold_products(prompts, np.arange(design.n_prompts)[None])[0, ..., 0]
    assert folds[~np.eye(4, dtype=bool)].mean() == pytest.approx(np.mean(products))


def product_of_units(means, one, other, labels, unit_of):
    """Mean over pairs of labels of the product of two units' differences, of prompts' states [P, D]."""
    units, pairs = (one, other), combinations(EMOTIONS, 2)
    mean = {(u, a): means[(unit_of == u) & (labels == a)].mean(axis=0) for u in units for a in EMOTIONS}
    return np.mean([(mean[one, a] - mean[one, b]) @ (mean[other, a] - mean[other, b]) for a, b in pairs])


@pytest.mark.parametrize(
    ("n_templates", "templates", "sizes"),
    [(4, True, [1]), (12, True, [1, 2]), (5, False, [1]), (12, False, [1, 2])],
)
def test_products_of_two_folds_are_the_mean_over_pairs_of_their_units(n_templates, templates, sizes):
    """A fold holds one template or two; without templates, one prompt of each label or two."""
    design = make_design(n_templates=n_templates, templates=templates)
    means = np.random.default_rng(1).normal(size=(design.n_prompts, 6))
    fold_of = np.empty(design.n_prompts, int)
    for number, fold in enumerate(design.folds()):
        fold_of[design.prompt_of[fold.test]] = number
    folds = range(fold_of.max() + 1)
    assert set(np.bincount(fold_of) // len(EMOTIONS)) == set(sizes)
    unit_of = design.block_of if templates else fold_of
    rows = np.vstack([np.arange(design.n_prompts), design.prompt_permutations(2)])
    found = Distance(design).fold_products((means @ means.T)[None], rows)[..., 0]
    assert np.isnan(np.diagonal(found, axis1=1, axis2=2)).all()
    for row, products in zip(rows, found, strict=True):
        # A prompt takes the label and the place of its stand-in.
        labels, units, places = design.prompt_labels[row], unit_of[row], fold_of[row]
        for f, g in combinations(folds, 2):
            pairs = [(t, u) for t in np.unique(units[places == f]) for u in np.unique(units[places == g])]
            expected = np.mean([product_of_units(means, t, u, labels, units) for t, u in pairs])
            assert products[f, g] == products[g, f] == pytest.approx(expected)


@pytest.mark.parametrize("n_templates", [6, 12])
def test_flipped_products_of_two_folds_are_those_of_turned_templates(n_templates):
    design = sized(make_design(n_templates=n_templates), n_permutations=5)
    means = np.random.default_rng(2).normal(size=(design.n_prompts, 6))
    blocks = np.equal.outer(design.block_of, design.block_of) / len(EMOTIONS)
    means -= blocks @ means
    distance, identity = Distance(design), np.arange(design.n_prompts)[None]
    flips = design.flips()
    found = flipped_fold_products(distance.contrasts((means @ means.T)[None]), design)[..., 0]
    assert len(found) == len(flips) > 5
    for signs, products in zip(flips[:6], found[:6], strict=True):
        turned = means * signs[design.block_of][:, None]
        expected = distance.fold_products((turned @ turned.T)[None], identity)[0, ..., 0]
        np.testing.assert_allclose(products, expected, atol=1e-12)


def test_distance_of_a_rating_is_the_squared_slope_pooled_over_templates(features):
    _, x, kernel = features
    design = make_design(ratings=RATINGS, label="valence")
    means = np.array([x[design.prompt_of == p].mean(axis=0) for p in range(design.n_prompts)])
    rating, blocks = design.targets[:, 0], range(4)
    about = [rating[design.block_of == t] - rating[design.block_of == t].mean() for t in blocks]
    covariances = [one @ means[design.block_of == t] for t, one in enumerate(about)]
    pairs = [(f, g) for f in blocks for g in blocks if f != g]
    expected = sum(covariances[f] @ covariances[g] for f, g in pairs)
    expected /= sum((about[f] @ about[f]) * (about[g] @ about[g]) for f, g in pairs)
    assert (Distance(design).weights * kernel_of_prompts(kernel, design)[0]).sum() == pytest.approx(expected)
    # Exactly linear states give back the slope.
    line = np.outer(rating, [3.0, 4.0])
    assert (Distance(design).weights * (line @ line.T)).sum() == pytest.approx(25)


def test_bootstrap_of_the_distance_equals_resampling_templates_by_hand(features):
    design, _, kernel = features
    prompts = kernel_of_prompts(kernel, design)
    distance = Distance(sized(design, n_bootstraps=30))
    got, drawn = distance.bootstrap(prompts)[:, 0], design.bootstraps(30).units
    products = distance.fold_products(prompts, np.arange(design.n_prompts)[None])[0, ..., 0]
    for value, counts in zip(got, drawn, strict=True):
        chosen = np.repeat(np.arange(4), counts.astype(int))
        pairs = [(f, g) for i, f in enumerate(chosen) for j, g in enumerate(chosen) if i != j and f != g]
        if pairs:
            assert value == pytest.approx(np.mean([products[pair] for pair in pairs]))
        else:
            assert np.isnan(value)


def test_templates_that_lack_labels_are_compared_by_the_labels_that_both_hold(features):
    design, _, kernel = features
    keep = ~((design.samples["template"] == "t1") & (design.labels == "sad"))
    keep &= ~((design.samples["template"] == "t2") & (design.labels == "calm"))
    part = design.subset(np.flatnonzero(keep))
    inner = kernel_of_prompts(kernel[:, keep][:, :, keep], part)
    place = {(t, e): p for p, (t, e) in enumerate(zip(part.block_of, part.prompt_labels, strict=True))}

    def product(t, u, a, b):
        pq = [(s * r, place[t, x], place[u, y]) for s, x in ((1, a), (-1, b)) for r, y in ((1, a), (-1, b))]
        return sum(sign * inner[0, p, q] for sign, p, q in pq)

    means = []
    for a in EMOTIONS:
        for b in EMOTIONS:
            both = [t for t in range(4) if (t, a) in place and (t, b) in place]
            if a < b:
                means.append(np.mean([product(t, u, a, b) for t in both for u in both if t != u]))
    distance = Distance(part)
    assert (distance.weights * inner[0]).sum() == pytest.approx(np.mean(means))
    assert distance.contrasts(inner).sum() == pytest.approx(np.mean(means))
    assert not np.diagonal(distance.contrasts(inner)[0]).any()


def test_permuted_sums_equal_relabelling_by_hand(features):
    design, _, kernel = features
    prompts = kernel_of_prompts(kernel, design)
    null = permuted_sums(Distance(design).weights, prompts, design.prompt_permutations(5))[:, 0]
    for value, row in zip(null, design.permutations(5), strict=True):
        moved = Design(design.samples.assign(emotion=design.labels[row]))
        assert value == pytest.approx((Distance(moved).weights * prompts[0]).sum())


def test_omega_squared_without_templates_equals_the_anova_of_prompt_means():
    design = make_design(n_templates=5, templates=False)
    rng = np.random.default_rng(0)
    codes = codes_of(design.labels)
    x = clustered(design, (1,), 0.5, rng) + rng.normal(size=(4, 1))[codes]
    means = x[design.rows].mean(axis=1)  # [P, 1]
    f = f_oneway(*(means[design.prompt_labels == e, 0] for e in EMOTIONS)).statistic
    expected = 3 * (f - 1) / (3 * (f - 1) + 20)
    model, kernel = Explained(design), kernel_of_prompts((centred(x) @ centred(x).T)[None], design)
    explained = np.einsum("pq,cpq->c", model.label, kernel)
    assert (model.between, model.within) == (3, 16)
    assert model.omega_squared(explained, kernel)[0] == pytest.approx(expected)


def by_hand(model, features, labels):
    """The largest ÷ the smallest median distance to the labels' means, of residual features [P, D]."""
    rest = model.remove - model.label
    distances = np.linalg.norm(rest @ features, axis=1) / np.sqrt(np.diagonal(rest))
    medians = [np.median(distances[labels == e]) for e in EMOTIONS]
    return max(medians) / min(medians)


def test_dispersion_is_the_ratio_of_median_distances_also_of_permuted_residuals(features):
    design, x, kernel = features
    model, means = Explained(design), x[design.rows].mean(axis=1)
    residual = (model.remove - model.label) @ means
    identity = np.arange(design.n_prompts)[None]
    rows = np.vstack([identity, design.prompt_permutations(4)])
    got = model.dispersion(kernel_of_prompts(kernel, design), rows)[:, 0]
    expected = [by_hand(model, residual[row], design.prompt_labels) for row in rows]
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_omega_squared_with_templates_equals_nested_least_squares(features):
    design, x, kernel = features
    means = x[design.rows].mean(axis=1)
    blocks = np.equal.outer(design.block_of, np.arange(4)).astype(float)

    def residual(regressors):
        return ((means - regressors @ np.linalg.lstsq(regressors, means, rcond=None)[0]) ** 2).sum()

    total, rest = residual(blocks), residual(np.hstack([blocks, design.targets]))
    mean_square = rest / 9
    model, prompts = Explained(design), kernel_of_prompts(kernel, design)
    assert (model.between, model.within) == (3, 9)
    got = model.omega_squared(np.einsum("pq,cpq->c", model.label, prompts), prompts)[0]
    assert got == pytest.approx((total - rest - 3 * mean_square) / (total + mean_square))

"""CKA between layers and moments: the textbook formula, its invariances, its zero, and its ceiling."""

from functools import partial

import fakes
import numpy as np
import pandas as pd
import pytest
from fakes import rows, sized

from innerear.analyses.alignment import (
    ACROSS,
    ITSELF,
    OVER_BRANCHES,
    OVER_LAYERS,
    OVER_TIME,
    SAME,
    alignment,
    seed_halves,
)
from innerear.errors import InputError
from innerear.statistics.cka import debiased_cka

S, BINS = 12, 3


make_design = partial(fakes.make_design, 3, 4)
Measured = partial(fakes.Measured, n_bins=BINS)


def data(design, seed, d=40, prompt=1.0, noise=1.0):
    """[N, 2, S, D]: a prompt's own state, and noise that lasts for the clip."""
    rng = np.random.default_rng(seed)
    of_prompts = prompt * rng.normal(size=(design.n_prompts, 2, 1, d))[design.prompt_of]
    return (of_prompts + noise * rng.normal(size=(design.n_samples, 2, 1, d)) + np.zeros((S, 1))) + 3


def compared(layers, design, n_bootstraps=50):
    grams = {number: Measured(x, design) for number, x in enumerate(layers)}
    return alignment(grams, sized(design, n_bootstraps=n_bootstraps), model="nano")


def test_equals_the_textbook_formula_from_features():
    design = make_design()
    rng = np.random.default_rng(0)
    x, y = (data(design, k) + rng.normal(size=(design.n_samples, 2, S, 40)) for k in (1, 1))
    table = rows(compared([x, y], design), branch="uncond", samples=SAME)
    means = [[one[:, 1, 4 * k : 4 * k + 4].mean(axis=1) for k in range(BINS)] for one in (x, y)]

    def of_seeds(a, b):
        pairs = [(a[seed], b[seed]) for seed in design.rows.T]
        return np.mean([debiased_cka(one @ one.T, other @ other.T) for one, other in pairs])

    found = rows(table, statistic=OVER_LAYERS, layer=0, layer_2=1)["estimate"].item()
    assert found == pytest.approx(np.mean([of_seeds(a, b) for a, b in zip(*means, strict=True)]), abs=1e-4)
    time = rows(table, statistic=OVER_TIME, layer=1, bin=0, bin_2=2)["estimate"].item()
    assert time == pytest.approx(of_seeds(means[1][0], means[1][2]), abs=1e-4)


def test_a_finding_is_off_the_diagonal_as_a_share_of_the_ceiling():
    """One layer twice; in the second uncond is another representation."""
    design = make_design()
    x = data(design, 1)
    y = np.stack([x[:, 0], data(design, 2)[:, 0]], axis=1)
    table = compared([x, y], design)
    layers = rows(table, statistic=OVER_LAYERS, samples=ACROSS).set_index("branch")
    assert (layers["layer"] < layers["layer_2"]).all()
    assert layers.loc["cond", "ratio"] == pytest.approx(1, abs=1e-3)
    assert layers.loc["cond", "ratio_lo"] == pytest.approx(1, abs=1e-2)
    assert abs(layers.loc["uncond", "ratio"]) < 0.4
    np.testing.assert_allclose(layers["ratio"], layers["estimate"] / layers["ceiling"])
    itself = rows(table, statistic=OVER_LAYERS + ITSELF)
    assert (itself["layer"] == itself["layer_2"]).all()
    np.testing.assert_allclose(rows(itself, samples=SAME)["estimate"], 1, atol=1e-4)
    np.testing.assert_allclose(rows(itself, samples=ACROSS)["ratio"], 1, atol=1e-6)
    branches = rows(table, statistic=OVER_BRANCHES, samples=ACROSS, layer=0)
    assert list(zip(branches["branch"], branches["branch_2"], strict=True)) == [
        ("cond", "uncond"),
        ("cond", "delta"),
        ("uncond", "delta"),
    ]
    one = branches.iloc[0]  # two independent representations of the prompts
    assert abs(one["ratio"]) < 0.4 < one["ceiling"]


def test_across_seed_halves_equals_the_formula_on_prompt_means():
    design = fakes.make_design(3, 2)
    x, y = data(design, 1), data(design, 2)
    found = rows(compared([x, y], design), branch="cond", samples=ACROSS, statistic=OVER_LAYERS)
    features = [[one[design.rows[:, seed], 0, 0] for seed in (0, 1)] for one in (x, y)]
    expected = [debiased_cka(a @ a.T, b @ b.T) for a, b in (features[0], features[1])]
    cross = [(features[0][k], features[1][1 - k]) for k in (0, 1)]
    expected.append(np.mean([debiased_cka(a @ a.T, b @ b.T) for a, b in cross]))
    itself = rows(compared([x, y], design), branch="cond", samples=ACROSS, statistic=OVER_LAYERS + ITSELF)
    table = pd.concat([found, itself]).set_index(["layer", "layer_2"])
    assert table.loc[(0, 0), "estimate"] == pytest.approx(expected[0], abs=1e-4)
    assert table.loc[(1, 1), "estimate"] == pytest.approx(expected[1], abs=1e-4)
    assert table.loc[(0, 1), "estimate"] == pytest.approx(expected[2], abs=1e-4)
    assert table.loc[(0, 1), "ceiling"] == pytest.approx(np.sqrt(expected[0] * expected[1]), abs=1e-4)


def test_a_rotated_layer_is_the_same_and_reaches_the_ceiling():
    design = make_design()
    x = data(design, 1)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(40, 40)))[0]
    table = rows(compared([x, 5 * x @ rotation + 2], design), branch="uncond", statistic=OVER_LAYERS)
    same = rows(table, samples=SAME, layer=0, layer_2=1)
    assert same["estimate"].item() == pytest.approx(1, abs=1e-4)
    assert same["ci_lo"].item() == pytest.approx(1, abs=1e-3)
    across = rows(table, samples=ACROSS, layer=0, layer_2=1)
    assert across["estimate"].item() == pytest.approx(across["ceiling"].item(), abs=1e-3)
    assert 0.2 < across["ceiling"].item() < 0.9


def test_independent_layers_of_many_dimensions_are_not_alike():
    """Biased CKA of these reads above .9. No prompt states: layers that keep prompts apart *are* alike."""
    design, values = fakes.make_design(3, 2), {SAME: [], ACROSS: []}
    for k in range(12):
        layers = [data(design, 2 * k + one, d=400, prompt=0) for one in (0, 1)]
        table = rows(compared(layers, design, n_bootstraps=2), statistic=OVER_LAYERS, layer=0, layer_2=1)
        for kind, found in values.items():
            found += rows(table, samples=kind, branch="cond")["estimate"].tolist()
    # 66 pairs of 12 prompts, for each of two seeds: standard errors of the mean of 12.
    assert abs(np.mean(values[SAME])) < 3 / np.sqrt(12 * 2 * 66)
    assert abs(np.mean(values[ACROSS])) < 3 / np.sqrt(12 * 66)


def test_the_ceiling_falls_with_the_noise_of_the_seeds():
    design = fakes.make_design(6, 4)
    means = []
    for noise in (0.1, 1, 30):
        table = compared([data(design, 3, noise=noise)], design, n_bootstraps=2)
        means.append(
            rows(table, samples=ACROSS, statistic=OVER_LAYERS + ITSELF, branch="cond")["estimate"].item()
        )
    assert means[0] > 0.95
    assert means[0] > means[1] > means[2]
    assert abs(means[2]) < 0.25


def test_intervals_hold_the_estimate_of_a_larger_study():
    """Two layers that share half of their prompt states: the interval's rate of holding the truth."""
    design, truth = fakes.make_design(6, 2), []
    for seed in range(40):
        x, other = data(design, 2 * seed, noise=0.2, d=60), data(design, 2 * seed + 1, noise=0.2, d=60)
        table = compared([x, x + other], design, n_bootstraps=100)
        row = rows(table, samples=SAME, statistic=OVER_LAYERS, branch="cond", layer=0, layer_2=1)
        truth.append((row["estimate"].item(), row["ci_lo"].item(), row["ci_hi"].item()))
    centre = np.mean([one for one, _, _ in truth])
    held = sum(low <= centre <= high for _, low, high in truth)
    assert held >= 32, held


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 4, 7])
def test_halves_are_disjoint_and_use_each_seed_as_often(n_seeds):
    halves = seed_halves(n_seeds)
    assert bool(halves) == (n_seeds > 1)
    for first, second in halves:
        assert sorted([*first, *second]) == list(range(n_seeds))
    counts = np.bincount(np.array([first for first, _ in halves], int).ravel(), minlength=n_seeds)
    assert n_seeds < 4 or n_seeds % 2 == 0 or len(set(counts.tolist())) == 1


def test_what_cannot_be_compared_says_why():
    one_seed = compared([data(fakes.make_design(3, 1), 1)], fakes.make_design(3, 1))
    lacking = rows(one_seed, samples=ACROSS)
    assert lacking[["estimate", "ci_lo", "ceiling"]].isna().all(axis=None)
    assert lacking["null"].str.contains("no halves").all()
    few = fakes.make_design(1, 2, emotions=("happy", "sad", "calm"))
    assert rows(compared([data(few, 1)], few), samples=ACROSS)["null"].str.contains("needs at least 4").all()
    design = make_design()
    x = data(design, 1)
    x[:, 1] = x[0, 1]
    dead = rows(compared([x], design), branch="uncond")
    assert dead["estimate"].isna().all()
    assert dead["null"].str.contains("deterministic").all()


def test_another_order_of_samples_is_refused():
    design = make_design()
    gram = Measured(data(design, 1), design)
    gram.axes["sample"] = gram.axes["sample"][::-1]
    with pytest.raises(InputError, match="stands where"):
        alignment({0: gram}, design, model="nano")

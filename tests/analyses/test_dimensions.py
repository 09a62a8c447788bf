"""Dimensions: the planted ones are found, noise is not, and the numbers are the textbook's."""

from functools import partial

import fakes
import numpy as np
import pandas as pd
import pytest
from fakes import EMOTIONS, analysed, codes_of, make_design, rows, sized
from scipy.stats import binom, f_oneway
from scipy.stats import t as student
from sklearn.linear_model import LinearRegression

from innerear.analyses import dimensions
from innerear.analyses.dimensions import (
    BEYOND,
    BY_DIMENSION,
    CROSSNOBIS,
    ROTATED,
    SELECTED,
    TOP,
    selection_frequency,
)
from innerear.errors import InputError
from innerear.pages.findings import findings
from innerear.statistics.anova import Anova
from innerear.statistics.design import Design
from innerear.statistics.design.template_contrasts import label_contrasts
from innerear.statistics.noise import noise_normalised_kernel
from innerear.statistics.table import layer_map

S, D = 4, 60
PLANTED = [3, 17, 40, 41]
Measured = partial(fakes.Measured, n_bins=0)


def data(design, seed=0, d=D, emotion=0.0, dimensions=tuple(PLANTED), within=0.5, template=1.0):
    """[N, 2, S, D]: emotion in some dimensions of uncond; templates and prompts everywhere."""
    rng = np.random.default_rng(seed)
    x = np.sqrt(within) * rng.normal(size=(design.n_prompts, 2, 1, d))[design.prompt_of]
    x = x + np.sqrt(1 - within) * rng.normal(size=(design.n_samples, 2, 1, d)) + np.zeros((S, 1))
    x += template * rng.normal(size=(design.n_blocks, 1, 1, d))[design.block_of[design.prompt_of]]
    codes = codes_of(design.labels)
    x[:, 1, :, list(dimensions)] += emotion * np.array([-1.5, -0.5, 0.5, 1.5])[codes][:, None]
    return x + 5


def found(x, design, **options):
    return analysed(dimensions, Measured(x, design), design, **{"n_permutations": 199} | options)


@pytest.fixture(scope="module")
def planted():
    design = make_design()
    return design, found(data(design, emotion=3), design, n_permutations=999)


def test_the_planted_dimensions_are_found_and_no_others(planted):
    table = rows(planted[1].table, branch="uncond", statistic=BY_DIMENSION).set_index("dimension")
    assert set(table.index[table["q"] <= 0.05]) == set(PLANTED)
    assert set(table.index[table["p_corrected"] <= 0.05]) == set(PLANTED)
    assert (table.loc[PLANTED, "selection_frequency"] == 1).all()
    assert table.drop(PLANTED)["selection_frequency"].max() < 0.9
    share = rows(planted[1].table, branch="uncond", statistic=SELECTED)["estimate"].item()
    assert share == pytest.approx(len(PLANTED) / D)


@pytest.mark.parametrize("label", ["emotion", "valence"])
def test_selection_is_that_of_every_bootstrap_by_itself(label):
    samples = make_design(10, 3).samples
    rated = samples.assign(
        valence=np.random.default_rng(1).normal(size=40)[pd.factorize(samples["prompt_id"])[0]]
    )
    design = sized(Design(rated, label), n_bootstraps=40)
    features, anova = data(make_design(10, 3))[:, 1, 0], Anova(design)
    boots = design.bootstraps()
    counts = boots.units[:, boots.unit_of[design.rows[:, 0]]]
    chosen, targets = np.zeros(D), anova.remove @ design.targets
    for number, weights in zip(counts, boots.seeds, strict=True):
        of_seeds = np.average(features[design.rows], axis=1, weights=weights)
        x = np.repeat(anova.remove @ of_seeds, number.astype(int), axis=0)  # each prompt as often as drawn
        y = np.repeat(targets if design.numeric else design.targets, number.astype(int), axis=0)
        fitted = LinearRegression().fit(y, x).predict(y)
        explained = 1 - ((x - fitted) ** 2).sum(axis=0) / ((x - x.mean(axis=0)) ** 2).sum(axis=0)
        chosen[np.argsort(explained)[-TOP:]] += 1
    np.testing.assert_allclose(selection_frequency(features, anova), chosen / 40)


def test_intervals_are_a_jackknife_over_templates(planted):
    """Of single dimensions and of their share, without each template; in random bases as well."""
    design, result = planted
    x = data(design, emotion=3).mean(axis=2)[:, 1]
    shares, past = [], []
    for template in range(design.n_blocks):
        kept = np.flatnonzero(design.block_of[design.prompt_of] != template)
        anova = Anova(other := design.subset(kept))
        f = anova.f(x[kept][other.rows].mean(axis=1))
        shares.append(anova.share(f))
        past.append(anova.share_past(f))
    table = rows(result.table, branch="uncond")
    for statistic, left in ((BY_DIMENSION, shares), (BEYOND, past)):
        mine = rows(table, statistic=statistic)
        half = student.ppf(0.975, design.n_blocks - 1) * np.sqrt(design.n_blocks - 1) * np.std(left, axis=0)
        assert np.allclose(mine["ci_hi"] - mine["estimate"], half, atol=1e-5)
        assert np.allclose(mine["estimate"] - mine["ci_lo"], half, atol=1e-5)
    rotated = rows(table, statistic=ROTATED).iloc[0]
    assert rotated["ci_lo"] < rotated["estimate"] < rotated["ci_hi"]
    intervals = table[table["statistic"] != SELECTED]["interval"]
    assert set(intervals) == {f"95% t interval by a jackknife over {design.n_blocks} templates"}


def test_a_basis_that_is_not_special_has_a_bound(planted):
    """What is not established comes with a bound on how large it may be."""
    design = make_design()
    table = found(data(design, seed=4), design).table.assign(layer=3, model="m")
    answer = findings({"dimensions": table}).set_index("figure")["upper"]
    assert np.isfinite(answer.to_numpy(float)).all()


def test_the_noise_normalised_distance_without_a_template_is_that_of_the_others():
    design, x = make_design(), data(make_design(), seed=5, emotion=1)
    row = rows(found(x, design).table, branch="uncond", statistic=CROSSNOBIS).iloc[0]
    kernel = noise_normalised_kernel(x.mean(axis=2)[:, 1], design)
    weights = label_contrasts(design)
    products = np.einsum("tqp,pr,uqr->tu", weights, kernel, weights)
    left = []
    for template in range(design.n_blocks):
        kept = np.flatnonzero(np.arange(design.n_blocks) != template)
        pairs = products[np.ix_(kept, kept)]
        left.append((pairs.sum() - np.trace(pairs)) / (len(kept) * (len(kept) - 1)))
    half = student.ppf(0.975, design.n_blocks - 1) * np.sqrt(design.n_blocks - 1) * np.std(left)
    assert row["ci_hi"] - row["estimate"] == pytest.approx(half, rel=1e-3)


def test_the_branch_without_emotion_is_flat(planted):
    table = rows(planted[1].table, branch="cond")
    assert rows(table, statistic=SELECTED)["estimate"].item() == 0
    assert rows(table, statistic=BEYOND)["p_corrected"].item() > 0.05


def test_f_is_the_textbooks_without_and_with_templates():
    for templates in (False, True):
        design = make_design(templates=templates)
        x = data(design, emotion=0.5)
        table = rows(found(x, design, n_permutations=9).table, branch="uncond", statistic=BY_DIMENSION)
        means = x[design.rows][:, :, 1].mean(axis=(1, 2))  # [P, D]
        groups = [means[design.prompt_labels == name] for name in EMOTIONS]
        if not templates:
            expected = f_oneway(*groups).statistic
        else:  # two-way, without interaction
            cells = np.stack(groups)  # [k, T, D]
            rest = cells - cells.mean(0) - cells.mean(1, keepdims=True) + cells.mean((0, 1))
            between = ((cells.mean(1) - cells.mean((0, 1))) ** 2).sum(0) * 5 / 3
            expected = between / ((rest**2).sum((0, 1)) / 12)
        np.testing.assert_allclose(table["f"], expected, rtol=1e-4)
        effect = 3 * (expected - 1)
        np.testing.assert_allclose(table["estimate"], effect / (effect + 20), rtol=1e-3, atol=1e-4)


def test_p_equals_relabelling_by_hand(planted):
    design = make_design(3)
    x = data(design, emotion=0.5)
    table = rows(found(x, design).table, branch="uncond", statistic=BY_DIMENSION).set_index("dimension")
    means = x[design.rows][:, :, 1].mean(axis=(1, 2))
    for t in range(design.n_blocks):
        means[design.block_of == t] -= means[design.block_of == t].mean(axis=0)

    def between(labels):
        return sum((means[labels == name].mean(axis=0)) ** 2 for name in EMOTIONS)

    labels = [design.labels[row][design.rows[:, 0]] for row in design.permutations(199)]
    null = np.stack([between(one) for one in labels])
    expected = (1 + (null >= between(design.prompt_labels) - 1e-9).sum(axis=0)) / 200
    np.testing.assert_allclose(table["p"], expected)


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
def test_false_positive_rate_on_null_data(within):
    """Each dimension is a data set of its own: one call tests 400 null dimensions."""
    n = 400
    design = make_design()
    result = found(data(design, d=n, within=within, seed=int(10 * within)), design, n_bootstraps=2)
    for branch in ("cond", "uncond"):
        rejected = int((rows(result.table, branch=branch, statistic=BY_DIMENSION)["p"] <= 0.05).sum())
        low, high = binom.interval(0.99, n, 0.05)
        assert low <= rejected <= high, rejected


def test_counting_samples_would_find_dimensions_in_noise():
    """The test above can fail: with samples as observations the same data give findings."""
    design = make_design(n_seeds=4)
    x = data(design, d=400, within=0.8)[:, 0, 0]
    p = f_oneway(*(x[design.labels == name] for name in EMOTIONS)).pvalue
    assert (p <= 0.05).mean() > 0.2


def test_share_and_max_t_keep_their_rate_when_dimensions_move_together():
    design, n, shares, largest = make_design(4), 40, 0, 0
    for seed in range(n):
        x = data(design, seed, d=8, dimensions=[0]) @ np.random.default_rng(seed).normal(size=(8, 30))
        table = rows(found(x, design, n_permutations=99, n_bootstraps=2).table, branch="cond")
        shares += rows(table, statistic=BEYOND)["p"].item() <= 0.05
        largest += rows(table, statistic=BY_DIMENSION)["p_corrected"].min() <= 0.05
    assert shares <= binom.ppf(0.999, n, 0.05)
    assert largest <= binom.ppf(0.999, n, 0.05)


def test_a_basis_that_hides_emotion_in_few_dimensions_is_special_and_a_rotated_one_is_not(planted):
    design, result = planted
    own = rows(result.table, branch="uncond", statistic=ROTATED)
    assert own["p"].item() <= 0.01
    x = data(design, emotion=3)
    rotation = np.linalg.qr(np.random.default_rng(7).normal(size=(D, D)))[0]
    x = (x - x.mean(0)) / x.mean(2).std(0)[:, None]
    turned = found(x @ rotation, design).table
    assert rows(turned, branch="uncond", statistic=ROTATED)["p"].item() > 0.05
    shares = [
        rows(one, branch="uncond", statistic=BEYOND)["estimate"].item() for one in (result.table, turned)
    ]
    assert shares[1] > shares[0]


def test_rotated_bases_are_special_at_the_rate_of_chance():
    design, n, special = make_design(4), 30, 0
    for seed in range(n):
        x = data(design, seed, d=20, emotion=2, dimensions=[0, 1], template=0)
        x = (x - x.mean(0)) / x.mean(2).std(0)[:, None]
        rotation = np.linalg.qr(np.random.default_rng(seed + 1000).normal(size=(20, 20)))[0]
        table = found(x @ rotation, design, n_permutations=99, n_bootstraps=2).table
        special += rows(table, branch="uncond", statistic=ROTATED)["p"].item() <= 0.05
    assert special <= binom.ppf(0.999, n, 0.05)


def test_map_over_layers_is_corrected_as_one_family(planted):
    first = planted[1]
    second = analysed(
        dimensions,
        Measured(data(planted[0], seed=5), planted[0]),
        planted[0],
        layer=1,
        n_permutations=999,
        n_bootstraps=2,
    )
    joined = layer_map(dimensions, [first.table, second.table], [first.null, second.null])
    tested = joined[joined["p"].notna()]
    before = pd.concat([first.table, second.table], ignore_index=True)["p_corrected"].dropna()
    assert (tested["p_corrected"] >= before - 1e-12).all()
    assert tested["family"].str.contains("layers").all()
    assert tested["null"].str.contains("permuted between prompts|rotated at random").all()


def test_what_cannot_be_tested_says_why():
    design = make_design(n_templates=1)
    table = found(data(design), design).table
    assert table[["p", "p_corrected", "min_p", "q"]].isna().all(axis=None)
    assert (table["n_perm"] == 0).all()
    assert table["null"].str.contains("leave no variance").all()
    design = make_design(3)
    x = data(design)
    x[:, 1] = x[0, 1]
    x[:, 0, :, 7] = 2
    table = found(x, design).table
    dead = rows(table, branch="uncond")
    assert dead[["estimate", "p", "selection_frequency"]].isna().all(axis=None)
    assert dead["null"].str.contains("deterministic").all()
    constant = rows(table, branch="cond", dimension=7)
    assert constant[["estimate", "p"]].isna().all(axis=None)
    assert rows(table, branch="cond", statistic=BEYOND)["p"].notna().all()
    untested = found(x, design, n_permutations=0)
    assert untested.table["p"].isna().all()
    assert rows(untested.table, branch="cond", dimension=3)["null"].item() == (
        "none: no permutations were asked for"
    )
    assert rows(untested.table, branch="cond", dimension=3)["f"].notna().all()


def test_another_order_of_samples_is_refused():
    design = make_design(2)
    gram = Measured(data(design), design)
    gram.axes["sample"] = gram.axes["sample"][::-1]
    with pytest.raises(InputError, match="stands where"):
        analysed(dimensions, gram, design)


def test_flips_find_planted_dimensions_and_the_distance_in_units_of_noise():
    design = make_design(8)
    table = found(data(design, emotion=3), design).table
    single = rows(table, branch="uncond", statistic=BY_DIMENSION).set_index("dimension")
    assert set(single.index[single["p_flip_corrected"] <= 0.05]) == set(PLANTED)
    assert (single.loc[PLANTED, "k"] == 8).all()
    for statistic in (BEYOND, CROSSNOBIS):
        row = rows(table, statistic=statistic).set_index("branch")
        assert (row.loc["uncond", ["p", "p_flip"]] <= 0.05).all()
        assert (row.loc["cond", ["p", "p_flip"]] > 0.05).all()
    # Four dimensions, a spread of 3 between labels: 4 · 2 · 9 · 5/3 · ½, over a noise variance of ½.
    distance = rows(table, statistic=CROSSNOBIS, branch="uncond")["estimate"].item()
    expected = 4 * np.mean([(3 * (a - b)) ** 2 for a in range(4) for b in range(a)]) / 0.5
    assert distance == pytest.approx(expected, rel=0.35)


def test_noise_normalised_distance_and_flips_keep_their_level():
    """Studies of 6 templates, also with one emotion of three times the spread."""
    design, n = make_design(6, 2), 60
    codes = codes_of(design.labels)
    p, p_flip, estimates = [], [], []
    for seed in range(n):
        x = data(design, seed, d=10, template=0, dimensions=())
        row = rows(
            found(x, design, n_permutations=59, n_bootstraps=2).table, statistic=CROSSNOBIS, branch="cond"
        )
        p, estimates = [*p, row["p"].item()], [*estimates, row["estimate"].item()]
        unlike = 5 + (x - 5) * np.array([1, 1, 1, 3])[codes, None, None, None]
        row = rows(
            found(unlike, design, n_permutations=59, n_bootstraps=2).table,
            statistic=CROSSNOBIS,
            branch="cond",
        )
        p_flip.append(row["p_flip"].item())
    assert (np.array(p) <= 0.05).sum() <= binom.ppf(0.999, n, 0.05)
    assert (np.array(p_flip) <= 0.05).sum() <= binom.ppf(0.999, n, 0.05)
    assert abs(np.mean(estimates)) < 3 * np.std(estimates) / np.sqrt(n)

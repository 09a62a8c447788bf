"""Similarity: planted effects are found, null data stay at 5 %, shortcuts equal the long way."""

from functools import partial

import fakes
import numpy as np
import pandas as pd
import pytest
from fakes import EMOTIONS, analysed, codes_of, rows, strata_of
from scipy.stats import binom

from innerear.analyses import similarity
from innerear.analyses.similarity import MAP_COLUMNS, OTHER_SEED, SAME_SEED
from innerear.errors import InputError
from innerear.statistics.design import STRATA, Design
from innerear.statistics.table import layer_map

S = 20
COMPLETE = np.r_[np.zeros(3), np.ones(S - 6), np.zeros(3)].astype(bool)
Measured = partial(fakes.Measured, pads=3)
make_design = partial(fakes.make_design, n_templates=4)


def data(design, d=24, emotion=0.0, onset=0, within=0.5, seed=0, offset=5.0, n_steps=S):
    """[N, 2, S, D] with a share `within` of variance per prompt, and emotion in uncond from `onset`."""
    rng = np.random.default_rng(seed)
    prompt = rng.normal(size=(design.n_prompts, 2, n_steps, d))
    noise = rng.normal(size=(design.n_samples, 2, n_steps, d))
    x = np.sqrt(within) * prompt[design.prompt_of] + np.sqrt(1 - within) * noise + offset * rng.normal(size=d)
    codes = codes_of(design.labels)
    x[:, 1, onset:] += emotion * rng.normal(size=(4, d))[codes][:, None]
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def planted():
    design = make_design(n_seeds=4)
    gram = Measured(data(design, emotion=0.7, onset=10), design)
    return (design, gram, analysed(similarity, gram, design, layer=1, n_permutations=199, n_bootstraps=200))


@pytest.mark.parametrize("measure", ["centred", "standardised"])
def test_a_planted_emotion_is_found_where_it_was_planted(planted, measure):
    table = rows(planted[2].table, measure=measure, statistic=OTHER_SEED, over="steps")
    uncond = rows(table, branch="uncond").set_index("step")
    assert (uncond.loc[10:, "p_corrected"] <= 0.05).all()
    assert (uncond.loc[:9, "p_corrected"] > 0.05).all()
    assert (uncond.loc[10:, "ci_lo"] > 0).all()
    assert (rows(table, branch="cond")["p_corrected"] > 0.05).all()


def test_only_complete_steps_are_analysed(planted):
    steps = rows(planted[2].table, over="steps")["step"]
    assert set(steps) == set(np.flatnonzero(COMPLETE))


def unit_vectors(design, gram, window, of):
    """States of a window in uncond, of length 1 about the mean of their group `of` [N]."""
    x = gram.read("window_mean", branch=1, window=window).astype(float)
    groups = np.equal.outer(of, of)
    x = x - groups @ x / groups.sum(axis=1, keepdims=True)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_of_very_many_samples_a_matrix_has_one_of_each_prompt_and_as_many_of_each_label(planted, monkeypatch):
    design, gram, result = planted
    monkeypatch.setattr(similarity, "MOST_DRAWN", 8)
    few = analysed(similarity, gram, design)
    ids = design.samples["sample_id"].tolist()
    own = [ids.index(one) for one in few.coords["sample"]]
    kept = design.samples.iloc[own]
    assert kept["emotion"].value_counts().tolist() == [2, 2, 2, 2]
    assert kept["prompt_id"].is_unique
    whole, part = (one.arrays["matrices"][1] for one in (result, few))
    np.testing.assert_allclose(part, whole[..., own, :][..., own], atol=1e-6)


def test_strata_equal_the_means_of_pairs(planted):
    design, gram, result = planted
    strata, names = strata_of(design), list(STRATA.values())
    table = rows(result.table, branch="uncond", measure="centred", window="whole").set_index("statistic")
    unit = unit_vectors(design, gram, 0, np.zeros(design.n_samples))
    of = {k: (unit @ unit.T)[strata == k].mean() for k in STRATA}
    for k, name in enumerate(names, start=1):
        assert table.loc[name, "estimate"] == pytest.approx(of[k], abs=1e-5)
    assert table.loc["prompt effect", "estimate"] == pytest.approx(of[1] - of[3], abs=1e-5)
    assert table.loc["seed effect", "estimate"] == pytest.approx(of[2] - of[3], abs=1e-5)
    # The label's effects are of states centred within their template.
    unit = unit_vectors(design, gram, 0, design.block_of[design.prompt_of])
    of = {k: (unit @ unit.T)[strata == k].mean() for k in STRATA}
    assert table.loc[SAME_SEED, "estimate"] == pytest.approx(of[2] - of[4], abs=1e-5)
    assert table.loc[OTHER_SEED, "estimate"] == pytest.approx(of[3] - of[5], abs=1e-5)


def test_permutation_p_equals_relabelling_by_hand(planted):
    design, gram, result = planted
    unit = unit_vectors(design, gram, 3, design.block_of[design.prompt_of])
    cosines = unit @ unit.T

    def effect(labels):
        relabelled = Design(design.samples.assign(emotion=labels))
        strata = strata_of(relabelled)
        return cosines[strata == 3].mean() - cosines[strata == 5].mean()

    null = np.array([effect(design.labels[row]) for row in design.permutations(199)])
    expected = (1 + (null >= effect(design.labels) - 1e-9).sum()) / 200
    table = rows(result.table, branch="uncond", measure="centred", statistic=OTHER_SEED)
    assert rows(table, window="decile_1")["p"].item() == pytest.approx(expected)


def test_interval_of_a_stratum_equals_resampling_templates_by_hand(planted):
    design, gram, result = planted
    unit = unit_vectors(design, gram, 0, np.zeros(design.n_samples))
    cosines, strata, template = unit @ unit.T, strata_of(design), design.block_of[design.prompt_of]
    means = []
    for counts in design.bootstraps(200).units:
        weights = counts[template][:, None] * counts[template] * (strata == 5)
        means.append((weights * cosines).sum() / weights.sum() if weights.any() else np.nan)
    table = rows(result.table, branch="uncond", measure="centred", statistic=STRATA[5], window="whole")
    low, high = np.nanquantile(means, [0.025, 0.975])
    assert table["ci_lo"].item() == pytest.approx(low, abs=1e-5)
    assert table["ci_hi"].item() == pytest.approx(high, abs=1e-5)
    assert table["interval"].item() == "95% of 200 bootstraps of templates"


def test_every_tested_row_says_how(planted):
    table = planted[2].table
    tested = table[table["p"].notna()]
    assert len(tested)
    assert tested["p_corrected"].notna().all()
    assert (tested["p"] >= tested["min_p"] - 1e-12).all()
    assert tested["null"].str.contains(planted[0].permutation_hash(199)).all()
    assert set(tested["statistic"]) == {OTHER_SEED}
    assert not tested["measure"].str.contains("diagnostic").any()


def test_map_over_layers_is_corrected_as_one_family(planted):
    design, _, first = planted
    second = analysed(
        similarity,
        Measured(data(design, emotion=0.3, seed=4), design),
        design,
        layer=2,
        n_permutations=199,
        n_bootstraps=20,
    )
    joined = layer_map(similarity, [first.table, second.table], [first.null, second.null])
    tested = joined[joined["p"].notna()]
    assert (
        tested["p_corrected"] >= pd.concat([first.table, second.table])["p_corrected"].dropna().min()
    ).all()
    assert (tested["p_corrected"] >= tested["p"]).all()
    assert set(MAP_COLUMNS) <= set(joined)
    assert tested["family"].str.contains("layers").all()


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
def test_false_positive_rate_on_null_data(within):
    """Each step is a data set of its own, so one call tests 300 null studies."""
    n = 300
    design = make_design(n_templates=5)
    gram = Measured(data(design, d=8, within=within, n_steps=n, seed=int(10 * within)), design, pads=0)
    result = analysed(similarity, gram, design, n_permutations=199, n_bootstraps=2)
    for measure in ("centred", "standardised"):
        table = rows(result.table, branch="uncond", measure=measure, over="steps", statistic=OTHER_SEED)
        rejected = int((table["p"] <= 0.05).sum())
        low, high = binom.interval(0.999, n, 0.05)
        assert low <= rejected <= high, rejected


def test_permuting_samples_instead_would_find_effects_in_noise():
    """The null test above can fail: with samples as units, the same data give false findings."""
    n, rng = 100, np.random.default_rng(0)
    design = make_design(n_templates=5)
    x = data(design, d=8, within=0.8, n_steps=n)[:, 1].transpose(1, 0, 2)  # [S, N, D]
    x = x - x.mean(axis=1, keepdims=True)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    cosines = (x @ x.swapaxes(-1, -2)).reshape(n, -1).astype(np.float32)

    def separation(labels):
        same = np.equal.outer(labels, labels) & ~np.eye(len(labels), dtype=bool)
        other = ~same & ~np.eye(len(labels), dtype=bool)
        return cosines @ (same / same.sum() - other / other.sum()).ravel().astype(np.float32)

    null = np.array([separation(rng.permutation(design.labels)) for _ in range(199)])
    p = (1 + (null >= separation(design.labels)).sum(axis=0)) / 200
    assert (p <= 0.05).mean() > 0.3


def test_max_t_keeps_the_family_wise_rate():
    design, found, n = make_design(n_templates=3), 0, 25
    for k in range(n):
        gram = Measured(data(design, d=6, seed=100 + k), design)
        result = analysed(similarity, gram, design, n_permutations=99, n_bootstraps=2)
        table = rows(result.table, branch="uncond", measure="centred", over="steps")
        found += bool((rows(table, statistic="emotion effect, other seed")["p_corrected"] <= 0.05).any())
    assert found <= binom.ppf(0.995, n, 0.05)


def test_one_prompt_per_emotion_gives_estimates_without_p():
    design = make_design(n_templates=1, n_seeds=3)
    result = analysed(similarity, Measured(data(design), design), design, n_permutations=50, n_bootstraps=20)
    assert result.table["p"].isna().all()
    stratum = rows(result.table, statistic="same prompt, other seed", measure="centred")
    assert stratum["estimate"].notna().all()
    effect = rows(result.table, statistic="emotion effect, same seed", measure="centred")
    assert effect["null"].str.contains("no two samples are").all()
    says_no_test(result.table)


def says_no_test(table):
    """Rows without p claim no test anywhere, and say why."""
    untested = table[table["p"].isna()]
    assert len(untested)
    assert untested[["p_corrected", "score", "min_p"]].isna().all(axis=None)
    assert (untested["n_perm"] == 0).all()
    assert (untested["family"] == "").all()
    assert untested["null"].str.startswith("none: ").all()


def test_one_seed_leaves_other_seed_strata_untested_with_the_reason():
    design = make_design(n_seeds=1)
    result = analysed(similarity, Measured(data(design), design), design, n_permutations=50, n_bootstraps=20)
    says_no_test(result.table)
    joined = layer_map(similarity, [result.table], [result.null])
    says_no_test(joined)
    effects = rows(joined, measure="centred", over="windows")
    other = rows(effects, statistic="emotion effect, other seed")
    assert other[["estimate", "p", "ci_lo"]].isna().all(axis=None)
    assert other["null"].str.contains("no two samples are 'same emotion, other seed'").all()
    same = rows(effects, statistic="emotion effect, same seed")
    assert same["p"].notna().all()
    assert (same["n_perm"] == 50).all()


def test_without_permutations_nothing_is_tested():
    design = make_design()
    gram = Measured(data(design), design)
    table = analysed(similarity, gram, design, n_permutations=0, n_bootstraps=20).table
    assert table["p"].isna().all()
    says_no_test(table)
    effect = rows(table, measure="centred", over="steps", statistic=OTHER_SEED)
    assert effect["null"].str.contains("no permutations").all()


def test_bootstraps_that_often_lack_a_stratum_give_no_interval():
    """Two templates are drawn alike in half of all resamples, which then hold no pair of two templates."""
    design = make_design(n_templates=2, n_seeds=2)
    gram = Measured(data(design), design)
    table = analysed(similarity, gram, design, n_permutations=19, n_bootstraps=200).table
    table = rows(table, measure="centred", over="windows")
    other = rows(table, statistic="other emotion, other seed")
    assert other["estimate"].notna().all()
    assert other[["ci_lo", "ci_hi"]].isna().all(axis=None)
    assert other["interval"].str.fullmatch("none: [45][0-9]% of resamples hold no such pairs").all()
    same = rows(table, statistic="same prompt, other seed")
    assert (same["ci_lo"] < same["ci_hi"]).all()


@pytest.mark.parametrize(("n_templates", "emotions"), [(2, EMOTIONS[:2]), (2, EMOTIONS), (3, EMOTIONS[:2])])
def test_no_p_is_smaller_than_the_design_can_reach(n_templates, emotions):
    """Relabelings that only rename tie with the observed effect, whatever the rounding."""
    design = make_design(n_templates=n_templates, emotions=emotions)
    gram = Measured(data(design, emotion=1), design)
    table = analysed(similarity, gram, design, n_permutations=500, n_bootstraps=2).table
    p = table["p"].dropna()
    assert len(p)
    assert p.min() >= 1 / design.relabelings
    # Not only by the floor: the relabelings that rename are found to tie.
    assert (p == 1 / design.relabelings).mean() < 0.9


def test_steps_without_variance_are_not_tested():
    design = make_design()
    x = data(design)
    x[:, 1, 3] = x[0, 1, 3]
    result = analysed(similarity, Measured(x, design), design, n_permutations=50, n_bootstraps=20)
    table = rows(result.table, branch="uncond", measure="centred", statistic=OTHER_SEED)
    assert np.isnan(table.set_index("step").loc[3, "p"])
    assert table.set_index("step").loc[4:5, "p"].notna().all()
    assert "deterministic" in table.set_index("step").loc[3, "null"]
    says_no_test(result.table)


def test_another_order_of_samples_is_refused():
    design = make_design()
    gram = Measured(data(design), design)
    gram.axes["sample"] = gram.axes["sample"][::-1]
    with pytest.raises(InputError, match="stands where"):
        analysed(similarity, gram, design)

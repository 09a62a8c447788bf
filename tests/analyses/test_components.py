"""Components: equal to scikit-learn's, as many as were planted, none in noise that prompts share."""

from functools import partial

import fakes
import numpy as np
import pytest
from fakes import analysed, codes_of, make_design
from sklearn.decomposition import PCA

from innerear.analyses import components
from innerear.analyses.components import n_beyond, parallel_analysis, principal_components
from innerear.errors import InputError
from innerear.statistics.design import Design

S, D = 30, 48
COMPLETE = np.r_[np.zeros(3), np.ones(S - 6), np.zeros(3)].astype(bool)
Measured = partial(fakes.Measured, pads=3, n_bins=6)


def data(design, emotion=0.0, within=0.8, seed=0, template=0.0):
    """[N, 2, S, D]: every prompt is shifted, in dimensions that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    prompt = np.sqrt(within) * rng.normal(size=(design.n_prompts, 2, 1, D))
    x = prompt[design.prompt_of] + np.sqrt(1 - within) * rng.normal(size=(design.n_samples, 2, S, D))
    codes = codes_of(design.labels)
    x += template * rng.normal(size=(design.n_blocks, 1, 1, D))[design.block_of[design.prompt_of]]
    return x + 4 + emotion * rng.normal(size=(4, D))[codes][:, None, None]


def test_equals_scikit_learn():
    x = np.random.default_rng(0).normal(size=(20, 8)) * np.arange(1, 9) + 50
    centred = x - x.mean(axis=0)
    variances, scores = principal_components(centred, 5)
    reference = PCA(8).fit(x)
    np.testing.assert_allclose(
        variances[:8] / variances.sum(), reference.explained_variance_ratio_, atol=1e-10
    )
    np.testing.assert_allclose(np.abs(scores), np.abs(reference.transform(x)[:, :5]), atol=1e-8)


def test_signs_do_not_depend_on_the_basis():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, 6))
    x -= x.mean(axis=0)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    _, scores = principal_components(x, 4)
    y = -x @ rotation
    np.testing.assert_allclose(principal_components(y, 4)[1], scores, atol=1e-8)
    assert (scores[np.abs(scores).argmax(axis=0), range(4)] > 0).all()


def test_fewer_dimensions_than_components_leave_zeros():
    x = np.random.default_rng(2).normal(size=(12, 2))
    x -= x.mean(axis=0)
    scores = principal_components(x, 5)[1]
    assert (np.abs(scores[:, :2]).max(axis=0) > 0.1).all()
    assert not scores[:, 2:].any()


def test_planted_emotions_span_three_components():
    design = make_design()
    result = analysed(components, Measured(data(design, emotion=3), design), design)
    found = result.table.groupby("branch")["n_components"].first()
    assert found.to_dict() == {"cond": 3, "uncond": 3, "delta": 0}
    beyond = result.table[(result.table["branch"] == "cond") & (result.table["component"] <= 3)]
    assert (beyond["p_corrected"] <= 0.05).all()


def test_tested_rows_say_what_moved_and_what_is_corrected():
    design = make_design()
    table = analysed(components, Measured(data(design), design), design).table
    assert table["null"].str.contains("each dimension by itself permuted between prompts within temp").all()
    assert (table["family"] == "components of this layer and branch").all()
    assert (table["p_corrected"] >= table["p"]).all()


def test_p_and_the_lines_of_the_scree_are_those_of_the_shuffles():
    design, m = make_design(n_templates=3), 30
    gram = Measured(data(design, emotion=0.6), design)
    table = analysed(components, gram, design, n_shuffles=m).table
    table = table[table["branch"] == "uncond"].sort_values("component")
    null = parallel_analysis(gram.read("window_mean", branch="uncond", window="whole"), design, m)
    found = table["estimate"].to_numpy()
    middle = np.sort(null, axis=0)[m // 2 - 1 : m // 2 + 1]
    np.testing.assert_allclose(table["null_median"], middle.mean(axis=0))
    np.testing.assert_allclose(table["null_95"], np.quantile(null, 0.95, axis=0))
    np.testing.assert_allclose(table["p"], (1 + (null >= found).sum(axis=0)) / (m + 1))
    first = null.max(axis=1)[:, None]
    np.testing.assert_allclose(table["p_corrected"], (1 + (first >= found).sum(axis=0)) / (m + 1))
    # A later component is compared with the first of each shuffle, not with its like.
    assert (table["p_corrected"] > table["p"] + 0.5).any()


@pytest.mark.parametrize(("n_shuffles", "reason"), [(0, "no permutations"), (9, "deterministic")])
def test_what_cannot_be_tested_has_no_p_and_a_reason(n_shuffles, reason):
    design = make_design()
    x = data(design)
    x[:, 1] = x[0, 1]
    gram = Measured(x, design)
    table = analysed(components, gram, design, n_shuffles=n_shuffles).table
    table = table[table["branch"] == ("uncond" if reason == "deterministic" else "cond")]
    assert table[["p", "p_corrected", "min_p", "null_95"]].isna().all(axis=None)
    assert (table[["n_perm", "n_components"]] == 0).all(axis=None)
    assert table["null"].str.contains(reason).all()
    assert (table["family"] == "").all()
    assert table["estimate"].isna().all() == (reason == "deterministic")


@pytest.mark.parametrize(("within", "template"), [(0.2, 0), (0.8, 0), (0.5, 2)])
def test_what_a_prompt_or_a_template_shares_is_no_component(within, template):
    """Unrelated dimensions: the first component must pass as often as the null says, not more."""
    design = make_design(n_templates=3)
    first = []
    for seed in range(60):
        x = data(design, within=within, seed=seed, template=template)[:, 0].mean(axis=1)  # [N, D]
        null = parallel_analysis(x, design, 60)
        variances = principal_components(x - x.mean(0), 1)[0]
        first.append(variances[0] / variances.sum() > np.quantile(null[:, 0], 0.95))
    assert sum(first) <= 9  # P(more | n = 60, p = .05) < .001


def test_shuffling_samples_would_find_prompts():
    """The test above can fail: with samples as units every prompt effect passes for a component."""
    design = make_design(n_templates=3)
    alone = design.samples.assign(prompt_id=design.samples["sample_id"], seed=0)
    x = data(design, within=0.8)[:, 0].mean(axis=1)
    null = parallel_analysis(x, Design(alone), 60)
    centred = x - x.mean(axis=0)
    variances = principal_components(centred, 1)[0]
    assert variances[0] / variances.sum() > np.quantile(null[:, 0], 0.95)


def test_shuffling_across_templates_would_find_templates():
    """So can this one: among all prompts every template effect passes for a component."""
    design = make_design(n_templates=3)
    x = data(design, template=2)[:, 0].mean(axis=1)
    null = parallel_analysis(x, Design(design.samples.assign(template="")), 60)
    centred = x - x.mean(axis=0)
    variances = principal_components(centred, 1)[0]
    assert variances[0] / variances.sum() > np.quantile(null[:, 0], 0.95)


def test_counting_stops_at_the_first_failure():
    assert n_beyond(np.array([0.5, 0.1, 0.3]), np.array([0.2, 0.2, 0.2])) == 1
    assert n_beyond(np.array([0.5, 0.4]), np.array([0.2, 0.2])) == 2
    assert n_beyond(np.array([0.1, 0.4]), np.array([0.2, 0.2])) == 0


def test_trajectories_equal_projected_features():
    design = make_design()
    x = data(design, emotion=1)
    gram = Measured(x, design)
    result = analysed(components, gram, design, n_shuffles=2)
    steps = np.flatnonzero(COMPLETE)
    features = x[:, 0]  # cond, [N, S, D]
    whole = features[:, steps].mean(axis=1)
    pca = PCA(3).fit(whole)
    scores = result.arrays["scores"][1][0][:, :3]
    flips = np.sign((scores * pca.transform(whole)).sum(axis=0))
    edges = np.linspace(3, S - 3, 7).round().astype(int)
    for b in range(6):
        projected = pca.transform(features[:, edges[b] : edges[b + 1]].mean(axis=1)) * flips
        means = projected[design.rows].mean(axis=1)
        np.testing.assert_allclose(result.arrays["trajectories"][1][0][:, b, :3], means, atol=2e-3)
    assert result.coords["prompt"].tolist() == design.prompts.tolist()


def test_another_order_of_samples_is_refused():
    design = make_design(2)
    gram = Measured(data(design), design)
    gram.axes["sample"] = gram.axes["sample"][1:]
    with pytest.raises(InputError, match="stands where"):
        analysed(components, gram, design)

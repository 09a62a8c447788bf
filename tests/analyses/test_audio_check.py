"""Does the audio differ: planted differences are found, null data stay at 5 %."""

import numpy as np
import pytest
from fake_clips import clip_table
from fakes import clustered, codes_of, make_design, rows, sized
from scipy.stats import binom, f_oneway
from scipy.stats import t as student

from innerear.analyses.audio_check import ANOVA, HEDGES, audio_check, hedges_g
from innerear.statistics.anova import Anova
from innerear.statistics.significance import ALPHA

NAMES = ("loudness", "centroid", "tempo")


def run(design, values, names=NAMES, n_permutations=199, n_bootstraps=100):
    clips = clip_table(design, values, names, reason="no pulse")
    return audio_check(clips, sized(design, n_permutations, n_bootstraps), model="nano")


def differing(effects):
    """Features whose prompt means differ between labels, corrected over features."""
    return effects["feature"][(effects["statistic"] == ANOVA) & (effects["p_corrected"] <= ALPHA)].tolist()


def test_a_planted_difference_is_found_in_its_feature_and_named_in_the_verdict():
    design, rng = make_design(), np.random.default_rng(0)
    values = clustered(design, (3,), 0.1, rng)
    values[:, 0] += 8 * codes_of(design.labels)
    result = run(design, values)
    assert differing(result.effects) == ["loudness"]
    whole = result.classification.iloc[0]
    assert whole["estimate"] > 0.6
    assert whole["p_corrected"] <= 0.05
    assert result.verdict["verdict"][0].startswith("The audio differs between emotions: held-out clips")
    assert "1 of 3 features differ" in result.verdict["verdict"][0]
    groups = result.classification.set_index("features")["estimate"]
    assert groups["dynamics"].item() > 0.6 > 0.4 > groups["rhythm"].item()


def test_the_interval_of_a_share_is_a_jackknife_over_templates():
    design = make_design()
    values = clustered(design, (3,), 0.5, np.random.default_rng(3)) + codes_of(design.labels)[:, None]
    table = rows(run(design, values).effects, statistic=ANOVA)
    left = []
    for template in dict.fromkeys(design.samples["template"]):
        kept = np.flatnonzero(design.samples["template"] != template)
        other = design.subset(kept)
        anova = Anova(other)
        left.append(anova.share(anova.f(values[kept][other.rows].mean(axis=1))))
    half = student.ppf(0.975, len(left) - 1) * np.sqrt(len(left) - 1) * np.std(left, axis=0)
    assert np.allclose(table["ci_hi"] - table["estimate"], half)
    assert np.allclose(table["estimate"] - table["ci_lo"], half)
    assert set(table["interval"]) == {f"95% t interval by a jackknife over {len(left)} templates"}


def test_no_difference_is_said_to_be_none():
    design = make_design()
    result = run(design, clustered(design, (3,), 0.5, np.random.default_rng(16)))
    assert not differing(result.effects)
    assert "was not shown to differ" in result.verdict["verdict"][0]
    assert result.verdict["verdict"][0].endswith("an effect of the text alone.")


@pytest.mark.parametrize("templates", [True, False])
def test_false_positive_rates(templates):
    rng, names = np.random.default_rng(templates), [f"f{k}" for k in range(12)]
    design = make_design(n_templates=4, templates=templates)
    anova, whole, n = 0, 0, 25
    for _ in range(n):
        result = run(design, clustered(design, (12,), 0.5, rng), names, n_permutations=99, n_bootstraps=10)
        anova += int((result.effects["p"][result.effects["statistic"] == ANOVA] <= 0.05).sum())
        whole += int(result.classification["p"][0] <= 0.05)
    low, high = binom.interval(0.99, 12 * n, 0.05)
    assert low <= anova <= high, anova / n / 12
    assert whole <= binom.ppf(0.995, n, 0.05)


def test_f_is_that_of_a_one_way_and_of_a_block_design():
    rng = np.random.default_rng(2)
    for templates in (False, True):
        design = make_design(templates=templates)
        means = rng.normal(size=(design.n_prompts, 2)) + 3 * design.block_of[:, None]
        labels = codes_of(design.prompt_labels)
        found = Anova(design).f(means)
        if not templates:
            groups = [means[labels == k] for k in range(4)]
            assert found == pytest.approx(f_oneway(*groups).statistic)
            continue
        # Randomised blocks by their textbook sums of squares.
        table = np.array(
            [[means[(labels == k) & (design.block_of == b)][0] for b in range(5)] for k in range(4)]
        )
        label, block = table.mean(axis=1, keepdims=True), table.mean(axis=0, keepdims=True)
        between = 5 * ((label - table.mean(axis=(0, 1))) ** 2).sum(axis=(0, 1)) / 3
        within = ((table - label - block + table.mean(axis=(0, 1))) ** 2).sum(axis=(0, 1)) / 12
        assert found == pytest.approx(between / within)


def test_g_is_the_corrected_difference_in_pooled_standard_deviations():
    rng = np.random.default_rng(3)
    first, second = rng.normal(1, 2, 6), rng.normal(0, 1, 4)
    means = np.r_[first, second][:, None]
    inside = (np.arange(10) < 6)[None]
    pooled = np.sqrt((5 * first.var(ddof=1) + 3 * second.var(ddof=1)) / 8)
    expected = (first.mean() - second.mean()) / pooled * (1 - 3 / (4 * 8 - 1))
    assert hedges_g(means, inside, ~inside).item() == pytest.approx(expected, rel=2e-3)
    assert hedges_g(-7 * means + 3, inside, ~inside).item() == pytest.approx(-expected, rel=2e-3)


def test_g_of_a_pair_exchanges_that_pair_alone_and_says_the_smallest_p():
    design = make_design()
    values = clustered(design, (3,), 0.5, np.random.default_rng(4))
    values[design.labels == "calm"] += 100  # another label's difference must not reach this pair
    effects = run(design, values).effects
    pair = effects[(effects["label_1"] == "happy") & (effects["label_2"] == "sad")]
    assert (pair["min_p"] == 1 / 16).all()  # 5 templates of two prompts, names of labels apart
    assert (pair["p"] > 0.05).all()
    assert (pair["ci_lo"] < pair["estimate"]).all() and (pair["estimate"] < pair["ci_hi"]).all()
    assert len(effects[effects["statistic"] == "Hedges g"]) == 6 * 3
    assert (effects["p_corrected"] >= effects["p"] - 1e-12).all()


def test_features_that_some_emotion_lacks_are_not_used():
    design = make_design()
    values = clustered(design, (3,), 0.5, np.random.default_rng(7))
    values[design.labels == "calm", 2] = np.nan
    effects = run(design, values).effects
    tempo = effects[effects["feature"] == "tempo"]
    assert tempo[["estimate", "p", "p_corrected"]].isna().all(axis=None)
    assert tempo["null"].str.contains("no pulse").all()


def test_what_cannot_be_tested_has_estimates_and_reasons():
    design = make_design(n_templates=1)
    result = run(design, clustered(design, (3,), 0.5, np.random.default_rng(8)))
    assert result.effects["p"].isna().all()
    assert result.effects["null"].str.startswith("none: ").all()
    assert result.classification["estimate"].isna().all()
    assert "cannot be tested: no folds are possible" in result.verdict["verdict"][0]
    small = make_design(n_templates=2, emotions=("happy", "sad"))
    said = run(small, clustered(small, (3,), 0.5, np.random.default_rng(8))).verdict["verdict"][0]
    assert "too small to tell" in said and "no p below 0.5 is possible" in said
    design = make_design(emotions=("happy",))
    result = run(design, clustered(design, (3,), 0.5, np.random.default_rng(9)))
    assert "cannot be tested: all prompts have one emotion" in result.verdict["verdict"][0]
    none = run(make_design(), np.full((40, 3), np.nan))
    assert "cannot be tested: no feature can be used" in none.verdict["verdict"][0]


def test_flips_stand_beside_the_permutation():
    """Feature 0 differs by emotion, feature 1 by nothing; seven templates."""
    design, rng = make_design(7), np.random.default_rng(1)
    values = clustered(design, (2,), 0.5, rng)
    values[:, 0] += 3 * codes_of(design.labels)
    found = audio_check(clip_table(design, values), sized(design, 199), model="m")
    anova = found.effects[found.effects["statistic"] == ANOVA].set_index("feature")
    assert anova.loc["f0", "p_flip_corrected"] <= 0.05 and anova.loc["f0", "k"] == 7
    assert anova.loc["f1", "p_flip"] > 0.05
    pair = rows(found.effects, statistic=HEDGES, label_1="happy", label_2="calm")
    assert pair.set_index("feature").loc["f0", "p_flip"] <= 0.05
    assert found.classification["p_flip"][0] <= 0.05

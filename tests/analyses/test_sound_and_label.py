"""Nested models of the states: what the label brings and what the sound adds are told apart."""

import numpy as np
import pytest
from fake_clips import Averages, clip_table
from fakes import analysed, clustered, codes_of, make_design
from scipy.stats import binom

from innerear.analyses import sound_and_label
from innerear.analyses.sound_and_label import BEYOND_LABEL, LABEL, SOUND
from innerear.statistics.table import layer_map


def run(design, values, n_permutations=99, **branches):
    gram, clips = Averages(design, **branches), clip_table(design, values)
    return analysed(sound_and_label, gram, design, clips=clips, n_permutations=n_permutations)


def test_label_and_sound_are_told_apart():
    design, rng = make_design(n_seeds=3), np.random.default_rng(0)
    by_label = rng.normal(size=(4, 6))[codes_of(design.labels)]
    sound = clustered(design, (4,), 0.5, rng)
    by_sound = sound @ rng.normal(size=(4, 6))
    noise = 0.3 * rng.normal(size=(3, design.n_samples, 6))
    result = run(design, sound, cond=by_label + noise[0], uncond=by_sound + noise[1], delta=noise[2])
    table = result.table.set_index(["branch", "statistic"])
    estimate, p = table["estimate"], table["p_corrected"]
    assert estimate["cond", LABEL] > 0.7
    assert p["cond", LABEL] <= 0.05
    # Sound that says nothing costs the model of both something.
    assert -0.3 < estimate["cond", BEYOND_LABEL] < 0.05
    assert p["cond", BEYOND_LABEL] > 0.05
    assert estimate["uncond", SOUND] > 0.8
    assert estimate["uncond", BEYOND_LABEL] > 0.5
    assert (p["uncond"][[SOUND, BEYOND_LABEL]] <= 0.05).all()
    assert (p["delta"].dropna() > 0.05).all()
    assert (table["ci_lo"] <= table["estimate"]).all() and (table["estimate"] <= table["ci_hi"]).all()
    of = result.further["dimensions"].groupby("branch")
    assert (of.get_group("uncond")["p_corrected"] <= 0.05).all()
    assert (of.get_group("delta")["p_corrected"] > 0.05).all()


def test_flips_find_what_templates_agree_on():
    """Two branches, of the label and of the sound; templates of seven."""
    design, rng = make_design(7), np.random.default_rng(1)
    by_label = 2 * rng.normal(size=(4, 6))[codes_of(design.labels)]
    sound = clustered(design, (4,), 0.5, rng)
    by_sound = sound @ rng.normal(size=(4, 6))
    noise = rng.normal(size=(2, design.n_samples, 6))
    result = run(design, sound, cond=by_label + noise[0], uncond=by_sound + noise[1])
    table = result.table.set_index(["branch", "statistic"])
    assert table.loc[("cond", LABEL), "p_flip"] <= 0.05 < table.loc[("uncond", LABEL), "p_flip"]
    assert table.loc[("uncond", SOUND), "p_flip"] <= 0.05 < table.loc[("cond", SOUND), "p_flip"]
    assert table.loc[("uncond", SOUND), "k"] == 7
    assert table.loc[("uncond", BEYOND_LABEL), "p"] <= 0.05
    assert np.isnan(table.loc[("uncond", BEYOND_LABEL), "p_flip"])
    assert set(result.null["moved"]) == {"labels", "signs"}


def test_the_share_of_the_rest_is_never_above_1():
    """States are the sound's, and the label is of no use: the difference of R² exceeded 1 here."""
    design = make_design(3, 1)
    for seed in range(10):
        sound = clustered(design, (2,), 1, np.random.default_rng(seed))
        result = run(design, sound, cond=sound[:, :1] + 0)
        row = result.table.set_index("statistic").loc[BEYOND_LABEL]
        assert 0 < row["estimate"] <= 1 and row["ci_hi"] <= 1
        assert result.null.drop(columns=["moved", "statistic", "permutations"]).to_numpy(float).max() <= 1


def test_permuting_the_gram_matrix_is_permuting_the_states():
    design, rng = make_design(), np.random.default_rng(2)
    sound, states = clustered(design, (3,), 0.5, rng), clustered(design, (5,), 0.5, rng)
    still = run(design, sound, cond=states).table
    moved = run(design, sound, cond=states[design.permutations(1)[0]]).table
    assert (still["estimate"] != moved["estimate"]).any()
    one = run(design, sound, n_permutations=1, cond=states)
    column = one.null.set_index("statistic")["0"]
    assert column[SOUND] == pytest.approx(moved["estimate"][moved["statistic"] == SOUND].item(), abs=1e-5)
    assert column[LABEL] == pytest.approx(moved["estimate"][moved["statistic"] == LABEL].item(), abs=1e-5)


def test_false_positive_rates():
    """States and sound both follow the label, and have nothing else to do with each other."""
    rng, n = np.random.default_rng(3), 30
    rejected, dimensions = 0, 0
    design = make_design(n_templates=4)
    for _ in range(n):
        shared = [rng.normal(size=(4, 5))[codes_of(design.labels)] for _ in range(2)]
        sound, states = (one + clustered(design, (5,), 0.5, rng) for one in shared)
        table = run(design, sound, cond=states).table.set_index("statistic")
        rejected += int(table.loc[BEYOND_LABEL, "p"] <= 0.05)
        unrelated = run(
            design, clustered(design, (5,), 0.5, rng), cond=clustered(design, (5,), 0.5, rng)
        ).further["dimensions"]
        dimensions += int((unrelated["p"] <= 0.05).sum())
    low, high = binom.interval(0.99, n, 0.05)
    assert low <= rejected <= high, rejected / n
    low, high = binom.interval(0.999, 5 * n, 0.05)  # dimensions of one state share its prompts
    assert low <= dimensions <= high, dimensions / n / 5


def test_dimensions_name_the_feature_that_they_follow():
    design, rng = make_design(), np.random.default_rng(4)
    sound = clustered(design, (4,), 0.5, rng)
    states = np.c_[-sound[:, 2], sound[:, 0], np.ones(design.n_samples)]
    table = run(design, sound, cond=states + 5).further["dimensions"]
    assert table["feature"][:2].tolist() == ["f2", "f0"]
    assert table["r"][:2].tolist() == pytest.approx([-1, 1])
    assert np.isnan(table["estimate"][2])
    assert "equal for all samples" in table["null"][2]


def test_what_cannot_be_estimated_says_why():
    rng = np.random.default_rng(5)
    design = make_design(n_templates=1)
    result = run(design, clustered(design, (3,), 0.5, rng), cond=clustered(design, (3,), 0.5, rng))
    assert result.table["estimate"].isna().all() and result.further["dimensions"]["estimate"].isna().all()
    assert result.table["null"].str.contains("no folds").all()
    assert layer_map(sound_and_label, [result.table], [result.null])["p_corrected"].isna().all()
    design = make_design()
    states = clustered(design, (3,), 0.5, rng)
    result = run(design, clustered(design, (3,), 0.5, rng), cond=states, uncond=np.ones_like(states))
    table = result.table.set_index("branch")
    assert table.loc["uncond", "null"].str.contains("deterministic").all()
    assert table.loc["cond", "estimate"].notna().all()

"""A true axis of arousal is found, graded and across emotions; emotions that merely differ are not one."""

import numpy as np
import pytest
from fakes import Measured, analysed, clustered, codes_of, rows, sheet
from scipy.stats import binom

from innerear.analyses import affect
from innerear.analyses.affect import CROSSED, GRADED
from innerear.statistics.design import Design
from innerear.statistics.table import layer_map

S, D = 4, 40
# Eight emotions round the circle of valence and arousal, of which few pairs differ in arousal alone.
EIGHT = {
    "excited": (0.7, 0.8),
    "serene": (0.75, -0.6),
    "angry": (-0.6, 0.9),
    "gloomy": (-0.55, -0.5),
    "tense": (-0.1, 0.7),
    "sleepy": (-0.05, -0.9),
    "awed": (0.3, 0.4),
    "wistful": (0.25, -0.2),
}


SIX = {name: EIGHT[name] for name in ("excited", "serene", "angry", "gloomy", "awed", "wistful")}


def make_design(emotions=SIX, n_templates=4, spread=0.0):
    """Emotions × templates; ratings differ between the prompts of an emotion by `spread`."""
    table = sheet(n_templates, 1, emotions, ratings=emotions)
    noise = spread * np.random.default_rng(0).normal(size=(len(table), 2))
    return Design(
        table.assign(valence=table["valence"] + noise[:, 0], arousal=table["arousal"] + noise[:, 1])
    )


def features(design, *, axis=0.0, emotion=0.0, within=0.5, seed=0):
    """[N, 2, S, D] noise; every emotion in a place of its own, and in uncond a direction of arousal."""
    rng = np.random.default_rng(seed)
    x = clustered(design, (2, 1, D), within, rng) + np.zeros((S, 1))
    codes = codes_of(design.labels)
    x += emotion * rng.normal(size=(codes.max() + 1, 2, 1, D))[codes]
    x[:, 1] += axis * design.samples["arousal"].to_numpy()[:, None, None] * rng.normal(size=D)
    return x


def found(x, design, n_permutations=39):
    gram = Measured(x, design, n_bins=0)
    result = analysed(affect, gram, design, n_permutations=n_permutations, n_bootstraps=20)
    return layer_map(affect, [result.table], [result.null])


def one(table, statistic, target="arousal", branch="uncond"):
    return rows(table, statistic=statistic, target=target, branch=branch).iloc[0]


def test_a_planted_axis_is_found_both_ways_and_in_its_scale_and_branch():
    design = make_design(EIGHT, 5, spread=0.2)
    table = found(features(design, axis=4, emotion=0.5), design, 99)
    for statistic in (GRADED, CROSSED):
        row = one(table, statistic)
        assert row["p_corrected"] <= 0.05, statistic
        assert row["min_p"] <= 0.01
        assert one(table, statistic, branch="cond")["p_corrected"] > 0.05, statistic
    assert one(table, CROSSED)["estimate"] > 0.8
    assert one(table, CROSSED, "valence")["p_corrected"] > 0.05


def test_emotions_that_are_told_apart_without_an_axis_are_not_taken_for_one():
    """Both branches hold emotions, each in a place of its own: permuting labels alone finds axes in many."""
    design, n, by_labels, by_axis = make_design(), 8, 0, 0
    for seed in range(n):
        table = found(features(design, emotion=6, seed=seed), design)
        for branch in ("cond", "uncond"):
            row = one(table, CROSSED, branch=branch)
            by_labels += row["p_labels"] <= 0.05
            by_axis += row["p"] <= 0.05
    assert by_axis <= binom.ppf(0.999, 2 * n, 0.05), by_axis
    assert by_labels > by_axis


@pytest.mark.parametrize("within", [0.2, 0.5, 0.8])
def test_noise_keeps_the_level_of_both(within):
    design, n, rejected = make_design(spread=0.2), 4, np.zeros(2)
    for seed in range(n):
        table = found(features(design, within=within, seed=seed), design)
        rejected += [
            sum(one(table, statistic, branch=branch)["p"] <= 0.05 for branch in ("cond", "uncond"))
            for statistic in (GRADED, CROSSED)
        ]
    assert (rejected <= binom.ppf(0.999, 2 * n, 0.05)).all(), rejected

"""The headline effect under every choice: planted effects show in all of them, noise in none."""

import numpy as np
import pytest
from fakes import Measured, analysed, clustered, codes_of, make_design, rows

from innerear.analyses import multiverse
from innerear.figures.multiverse import draw
from innerear.statistics.table import layer_map

DESIGN = make_design(6, 2)


def result(size, seed=0, design=DESIGN):
    rng = np.random.default_rng(seed)
    x = clustered(design, (2, 12, 16), 0.3, rng)
    directions = rng.normal(size=(4, 16))[codes_of(design.labels)]
    x[:, 1] += size * directions[:, None]
    return analysed(multiverse, Measured(x, design), design, n_permutations=99)


def test_a_planted_effect_shows_under_every_choice_in_its_branch_alone():
    table = result(2).table
    assert len(table) == 3 * 2 * 3 * (2 * 3 + 1)
    assert (rows(table, branch="uncond")["p_corrected"] <= 0.05).all()
    assert rows(table, branch="uncond")["score"].min() > 3
    assert (rows(table, branch="cond")["p_corrected"] > 0.05).all()


def test_flips_are_of_distances_and_find_the_planted_effect():
    """Six templates reach p = 1 / 32, however large the effect."""
    table = result(2).table
    tested = table[table["p_flip"].notna()]
    assert set(tested["statistic"]) == {multiverse.DISTANCE}
    planted = rows(tested, branch="uncond")
    assert (planted["p_flip"] == 1 / 32).all()
    assert (planted["k"] == 6).all()
    assert (rows(tested, branch="cond")["p_flip_corrected"] > 0.05).all()
    assert table.loc[table["statistic"] != multiverse.DISTANCE, "k"].isna().all()


def test_noise_keeps_its_level():
    """Max-T over all choices: in a twentieth of studies one of them is significant."""
    found = sum(
        (rows(result(0, seed).table, branch="cond")["p_corrected"] <= 0.05).any() for seed in range(20)
    )
    assert found <= 4  # P(more than 4 of 20 at .05) = .003


def test_distance_and_cosine_are_what_they_say():
    states = np.random.default_rng(0).normal(size=(DESIGN.n_prompts, 8))
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    apart = np.not_equal.outer(DESIGN.block_of, DESIGN.block_of)
    same = np.equal.outer(DESIGN.prompt_labels, DESIGN.prompt_labels)
    cosines = unit @ unit.T
    expected = cosines[apart & same].mean() - cosines[apart & ~same].mean()
    forms, measure = multiverse._Forms(DESIGN.of_prompts()), multiverse.COSINE
    found = forms.values(forms.matrix(states, measure)[None], np.array([measure]))
    assert found[0, 0] == pytest.approx(expected)


def test_layernorm_undoes_a_gain_of_each_state():
    x = np.random.default_rng(0).normal(size=(DESIGN.n_samples, 8))
    gains = np.random.default_rng(1).uniform(1, 3, (DESIGN.n_samples, 1))
    x -= x.mean(axis=1, keepdims=True)
    one, other = (
        multiverse._states(values, multiverse.NORMALISED, multiverse.CENTRED, DESIGN)
        for values in (x, gains * x)
    )
    np.testing.assert_allclose(one, other)


def test_without_templates_only_cosines_are_tested():
    table = result(2, design=make_design(6, 2, templates=False)).table
    tested = table.dropna(subset=["p"])
    assert set(tested["statistic"]) == {multiverse.COSINE}


def test_the_figure_has_one_panel_with_a_row_for_every_choice():
    one = result(2)
    table = layer_map(multiverse, [one.table], [one.null])
    figure = draw(table, model="nano", contrast="emotion")["multiverse"]
    (panel,) = figure.axes
    assert len(panel.get_yticklabels()) == 2 * 3 * 7

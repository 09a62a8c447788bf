"""Sign flips of templates: all of them where there are few, the same everywhere, exact, and joined over
layers."""

import numpy as np
import pandas as pd
import pytest
from fakes import codes_of, make_design, sized
from scipy.stats import binom

from innerear.statistics.design.flips import agreeing, flipped_sums
from innerear.statistics.label_distance import Distance, flipped_fold_products
from innerear.statistics.significance import correct_over, null_table
from innerear.statistics.table import blank, record_flips


def test_all_flips_are_listed_where_there_are_few_templates():
    design = make_design(10)
    flips = design.flips()
    assert flips.shape == (512, 10)
    assert (flips[0] == 1).all()
    assert (flips[:, 0] == 1).all()
    assert len(np.unique(flips, axis=0)) == 512
    assert design.smallest_flip_p() == 1 / 512
    assert design.n_templates == 10


def test_of_many_templates_flips_are_drawn_beside_the_identity():
    flips = make_design(12).flips(1000)
    assert flips.shape == (1001, 12)
    assert (flips[0] == 1).all()
    assert abs(flips[:, 1:].mean()) < 0.03
    assert len(np.unique(flips, axis=0)) == 1001  # the identity too is there once
    assert make_design(12).smallest_flip_p() == pytest.approx(1 / 1001)


def test_flips_are_those_of_the_studys_seed_alone():
    one, other = make_design(12), make_design(12)
    assert one.flip_hash() == other.flip_hash()
    other.bootstraps(), other.permutations()
    assert one.flip_hash() == other.flip_hash()
    other.seed = 1
    assert one.flip_hash() != other.flip_hash()
    assert one.flip_hash(50) != one.flip_hash(51)


def test_few_templates_or_none_are_not_flipped_and_say_so():
    design = make_design(5)
    assert "5 templates" in design.why_no_flips()
    assert np.isnan(design.smallest_flip_p())
    alone = make_design(8, templates=False)
    assert alone.n_templates == 0
    assert "0 templates" in alone.why_no_flips()
    assert make_design(6).why_no_flips() == ""


def test_a_flip_is_the_distance_of_states_whose_contrasts_are_turned():
    """Turning a template's states about their mean is flipping its sign in the products."""
    design, rng = make_design(6), np.random.default_rng(0)
    x = rng.normal(size=(design.n_prompts, 5))
    blocks = np.equal.outer(design.block_of, design.block_of)
    about = x - blocks @ x / blocks.sum(axis=1, keepdims=True)
    distance, flips = Distance(design), design.flips()
    contrasts = distance.contrasts((x @ x.T)[None])
    got = flipped_sums(contrasts, flips)[:, 0]
    for signs, value in zip(flips, got, strict=True):
        turned = about * signs[design.block_of][:, None]
        assert value == pytest.approx((distance.weights * (turned @ turned.T)).sum())
    by_fold = flipped_fold_products(contrasts, design)[..., 0]
    np.testing.assert_allclose(np.nanmean(by_fold, axis=(1, 2)), got)


def test_templates_agree_with_the_mean_of_the_others():
    contrasts = np.array([[[9, 2, -1], [2, 9, -3], [-1, -3, 9]]], float)
    assert agreeing(contrasts).tolist() == [1]  # rows without the diagonal sum to 1, −1, −4


def test_a_template_without_a_difference_does_not_agree():
    """Prompts that are equal leave rounding beside the mean of their template."""
    of_template = np.array([0.02, 0.03, 0.1 - 0.3 / 3, -0.01, 1e-17])
    assert agreeing(np.multiply.outer(of_template, of_template)[None]).tolist() == [2]


def null_contrasts(design, spread, rng, n, *, effect=0.0, cells=1):
    """Products of templates' contrasts [n, cells, T, T] of null studies whose labels disperse as `spread`."""
    sd = np.asarray(spread)[codes_of(design.prompt_labels)]
    shared = rng.normal(size=(n, 1, design.n_prompts, 12))
    x = np.sqrt(0.7) * shared + np.sqrt(0.3) * rng.normal(size=(n, cells, design.n_prompts, 12))
    x = x * sd[:, None] + effect * rng.normal(size=(n, 1, 4, 12))[:, :, design.targets.argmax(axis=1)]
    return Distance(design).contrasts((x @ x.swapaxes(-1, -2)).reshape(-1, *[design.n_prompts] * 2))


@pytest.mark.parametrize("spread", [(1, 1, 1, 1), (1, 1, 1, 3), (0.5, 1, 2, 4)])
def test_flips_keep_their_level_whatever_the_labels_dispersion(spread):
    design, n = sized(make_design(8), 999), 1500
    contrasts = null_contrasts(design, spread, np.random.default_rng(3), n)
    flipped = flipped_sums(contrasts, design.flips())
    p = (flipped >= flipped[0] - 1e-9).mean(axis=0)
    low, high = binom.interval(0.999, n, 0.05)
    assert (p <= 0.05).sum() <= high
    assert (p <= 0.05).sum() >= low * 0.7
    assert (p <= 0.2).mean() == pytest.approx(0.2, abs=0.05)


def test_flips_find_an_effect():
    design = sized(make_design(8), 999)
    contrasts = null_contrasts(design, (1, 1, 1, 1), np.random.default_rng(4), 100, effect=0.5)
    flipped = flipped_sums(contrasts, design.flips())
    assert ((flipped >= flipped[0] - 1e-9).mean(axis=0) <= 0.05).mean() > 0.9


def test_max_t_over_cells_keeps_the_family_wise_rate_of_unequal_dispersion():
    design, n, cells, found = sized(make_design(8), 999), 300, 10, 0
    contrasts = null_contrasts(design, (1, 1, 1, 3), np.random.default_rng(5), n, cells=cells)
    for study in contrasts.reshape(n, cells, 8, 8):
        table = blank({"cell": np.arange(cells)}, design)
        record_flips(table, np.arange(cells), design, study)
        assert (table["p_flip_corrected"] >= table["p_flip"] - 1e-12).all()
        found += (table["p_flip_corrected"] <= 0.05).any()
    assert found <= binom.ppf(0.999, n, 0.05), found


def test_maps_over_layers_are_corrected_with_the_same_flips():
    design, cells = sized(make_design(8), 199), 6
    contrasts = null_contrasts(design, (1, 1, 1, 1), np.random.default_rng(6), 1, cells=2 * cells)
    tables, nulls = [], []
    for layer in contrasts.reshape(2, cells, 8, 8):
        table = blank({"branch": ["cond"] * cells}, design)
        maxima = record_flips(table, np.arange(cells), design, layer)
        tables.append(table)
        nulls.append(null_table(maxima, "", ["branch"], design.n_permutations, design.flip_hash()))
    joined = correct_over(tables, nulls, ["branch"], "layers of {branch}")
    whole = blank({"branch": ["cond"] * 2 * cells}, design)
    record_flips(whole, np.arange(2 * cells), design, contrasts)
    np.testing.assert_allclose(joined["p_flip_corrected"], whole["p_flip_corrected"])
    assert joined["p_corrected"].isna().all()
    assert joined["k"].between(0, 8).all()
    assert (joined["n_templates"] == 8).all()


def test_a_cell_without_contrasts_is_not_tested():
    design = sized(make_design(8), 99)
    contrasts = null_contrasts(design, (1, 1, 1, 1), np.random.default_rng(7), 1, cells=3)
    contrasts[1] = np.nan
    table = blank({"cell": range(3)}, design)
    record_flips(table, np.arange(3), design, contrasts)
    assert table["p_flip"].isna().tolist() == table["k"].isna().tolist() == [False, True, False]
    assert isinstance(table, pd.DataFrame)


@pytest.mark.parametrize("standardise", [True, False])
def test_p_of_flips_does_not_depend_on_the_unit(standardise):
    """A share of a millionth is as sure as one of a half, alone, in its family, and over layers."""
    design, rng = sized(make_design(8)), np.random.default_rng(5)
    contrasts = rng.normal(size=(3, 8, 6)) + np.array([2, 0.5, 0])[:, None, None]
    contrasts = contrasts @ contrasts.swapaxes(1, 2)
    found = []
    for unit in (1.0, 1e-9):
        table = blank({"branch": ["cond"] * 3}, design, estimate=0.0, score=np.nan)
        maxima = record_flips(table, np.arange(3), design, unit * contrasts, standardise=standardise)
        hashes = design.permutation_hash(), design.flip_hash()
        null = null_table(maxima, hashes[0], ["branch"], design.n_permutations, hashes[1])
        found.append((table, correct_over([table], [null], ["branch"], "layers")))
    for one, same in zip(*found, strict=True):
        np.testing.assert_array_equal(one["p_flip"], same["p_flip"])
        np.testing.assert_array_equal(one["p_flip_corrected"], same["p_flip_corrected"])
    assert found[1][0]["p_flip"][0] == design.smallest_flip_p()

"""Bootstraps: templates, then seeds, never rows."""

from functools import partial

import fakes
import numpy as np
import pytest
from fakes import EMOTIONS, codes_of, strata_of

from innerear.statistics.design import Design
from innerear.statistics.design.resampling import jackknife

sheet = partial(fakes.sheet, n_seeds=4)


def test_bootstraps_resample_templates_then_seeds_never_rows():
    design = Design(sheet())
    counts = design.bootstraps(300).samples()
    np.testing.assert_array_equal(counts.sum(axis=1), 80)
    cube = counts[:, design.rows]  # [m, P, R]
    for block in range(design.n_blocks):
        members = cube[:, design.block_of == block]
        assert (members == members[:, :1]).all()
    # Each count is a product of a template's and a seed's, so the tables have rank one.
    first = cube.reshape(300, -1, 4)
    assert all(np.linalg.matrix_rank(one) == 1 for one in first)
    assert (counts == 0).any()


def test_bootstraps_without_templates_keep_every_label():
    design = Design(sheet(3, templates=False))
    counts = design.bootstraps(200).samples()
    for emotion in EMOTIONS:
        np.testing.assert_array_equal(counts[:, design.labels == emotion].sum(axis=1), 12)


@pytest.mark.parametrize("templates", [True, False])
def test_pairs_weigh_what_they_share_once(templates):
    """Build each resample copy by copy, and count the pairs within copies of what is shared."""
    design = Design(sheet(3, n_seeds=3, emotions=("happy", "sad"), templates=templates))
    bootstraps, strata = design.bootstraps(20), np.triu(strata_of(design))
    i, j = np.nonzero(strata)
    weights = bootstraps.pairs(i, j)
    units, seeds = bootstraps.units.astype(int), bootstraps.seeds.astype(int)
    for m in range(20):
        for k in range(len(i)):
            copies = [
                (a, b, r, s)
                for a in range(units[m, bootstraps.unit_of[i[k]]])
                for b in range(units[m, bootstraps.unit_of[j[k]]])
                for r in range(seeds[m, design.seed_of[i[k]]])
                for s in range(seeds[m, design.seed_of[j[k]]])
                if (a == b or bootstraps.unit_of[i[k]] != bootstraps.unit_of[j[k]])
                and (r == s or design.seed_of[i[k]] != design.seed_of[j[k]])
            ]
            assert weights[m, k] == len(copies)
    assert set(strata[i, j]) == {1, 2, 3, 4, 5}


def test_seeds_of_a_template_alone_are_kept_with_it():
    design = Design(fakes.sheet(6, 2, own_seeds=True))
    boots = design.bootstraps(200)
    assert (boots.seeds == 1).all()
    assert design.resampled == "templates"
    assert Design(fakes.sheet(6, 2)).resampled == "templates, then seeds"
    np.testing.assert_array_equal(boots.samples().sum(axis=1), 48)


@pytest.mark.parametrize("own_seeds", [True, False])
def test_the_spread_of_bootstraps_is_that_of_new_studies(own_seeds):
    """The mean of templates and seeds: its standard error, estimated from one study, is right on average."""
    rng, design = np.random.default_rng(3), Design(fakes.sheet(12, 6, ("happy",), own_seeds=own_seeds))
    weights = design.bootstraps(300).samples()
    weights /= weights.sum(axis=1, keepdims=True)
    templates = codes_of(design.samples["template"])
    means, errors = [], []
    for _ in range(400):
        values = rng.normal(size=12)[templates] + 2 * rng.normal(size=72)[design.seed_names]
        means.append(values.mean())
        errors.append((weights @ values).std())
    assert np.median(errors) == pytest.approx(np.std(means), rel=0.25)


@pytest.mark.parametrize("n_templates", [3, 6])
def test_a_jackknife_of_few_templates_covers_the_mean_in_nineteen_of_twenty_studies(n_templates):
    values = np.random.default_rng(n_templates).normal(size=(n_templates, 2000))
    mean = values.mean(axis=0)
    low, high, _ = jackknife(mean, (mean * n_templates - values) / (n_templates - 1))
    assert ((low <= 0) & (high >= 0)).mean() == pytest.approx(0.95, abs=0.02)

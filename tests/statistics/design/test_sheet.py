"""The sample sheet: what is refused, and what a column of numbers is."""

from functools import partial

import fakes
import numpy as np
import pandas as pd
import pytest

from innerear.errors import InputError
from innerear.statistics.design import Design

sheet = partial(fakes.sheet, n_seeds=4)
RATING = {"happy": 0.8, "sad": -0.7, "calm": 0.5, "energetic": 0.4}
rated = partial(sheet, ratings={emotion: (rating, 0) for emotion, rating in RATING.items()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop(columns="emotion"), "no column 'emotion'"),
        (lambda d: d.iloc[1:], "0 samples with seed 0"),
        (lambda d: pd.concat([d, d.iloc[:1]]), "2 samples with seed 0"),
        (lambda d: d.assign(template=["", *d.template[1:]]), "has no template"),
        (lambda d: d.assign(emotion=["sad", *d.emotion[1:]]), "two values of 'emotion'"),
        (lambda d: d.iloc[:0], "empty"),
    ],
)
def test_bad_sheets_are_refused_with_the_offending_value(change, message):
    with pytest.raises(InputError, match=message):
        Design(change(sheet()))


def test_measurements_in_another_order_are_refused():
    design = Design(sheet())
    ids = list(design.samples["sample_id"])
    design.check_order(ids)
    with pytest.raises(InputError, match="'t0-happy/seed-1' stands where 't0-happy/seed-0' should"):
        design.check_order([ids[1], ids[0], *ids[2:]])
    with pytest.raises(InputError, match="79 samples"):
        design.check_order(ids[:-1])


def test_a_column_of_numbers_is_a_rating():
    design = Design(rated(), label="valence")
    assert design.numeric
    np.testing.assert_array_equal(
        design.targets[:, 0], [RATING[name] for name in Design(sheet()).prompt_labels]
    )
    # Ratings have no names to exchange: 4! ways in each of 5 templates.
    assert design.relabelings == 24**5
    assert Design(sheet()).relabelings == 24**4


def test_a_missing_rating_is_refused():
    samples = rated()
    samples.loc[samples["prompt_id"] == "t1-sad", "valence"] = np.nan
    with pytest.raises(InputError, match=r"'t1-sad' has no 'valence'"):
        Design(samples, label="valence")


def test_seeds_of_a_template_are_numbered_within_it():
    design = Design(fakes.sheet(3, 2, own_seeds=True))
    assert design.own_seeds
    assert design.rows.shape == (12, 2)
    assert sorted(set(design.seed_names.tolist())) == list(range(6))
    np.testing.assert_array_equal(design.seed_of, design.seed_names % 2)
    np.testing.assert_array_equal(design.seeds, [0, 1])
    assert not Design(fakes.sheet(3, 2)).own_seeds


def test_permutations_move_prompts_within_their_template_with_their_seeds():
    design = Design(fakes.sheet(4, 3, own_seeds=True))
    table = design.permutations(50)
    np.testing.assert_array_equal(design.seed_names[table], np.tile(design.seed_names, (50, 1)))
    assert (table != np.arange(design.n_samples)).any(axis=1).mean() > 0.9


def _with_seeds(seeds_of):
    table = fakes.sheet(3, 2)
    numbers = table["seed"].to_numpy()
    return table.assign(seed=[seeds_of[t][k] for t, k in zip(table["template"], numbers, strict=True)])


@pytest.mark.parametrize(
    ("seeds_of", "message"),
    [
        ({"t0": (0, 1), "t1": (1, 2), "t2": (4, 5)}, "'t1' shares seed 1 with another, but not all"),
        ({"t0": (0, 1), "t1": (0, 1), "t2": (4, 5)}, "some templates share their seeds and others do not"),
    ],
)
def test_seeds_that_only_some_templates_share_are_refused(seeds_of, message):
    with pytest.raises(InputError, match=message):
        Design(_with_seeds(seeds_of))


def test_templates_need_the_same_number_of_seeds():
    table = fakes.sheet(3, 2, own_seeds=True)
    with pytest.raises(InputError, match="'t0' has 2 seeds, but 't2' has 1"):
        Design(table[table["seed"] != 5])
    with pytest.raises(InputError, match="samples with seed 4, not 1"):
        Design(table.drop(index=int(np.flatnonzero(table["seed"] == 4)[0])))

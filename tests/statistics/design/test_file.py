"""The design as a file is the design that was drawn."""

from functools import partial

import fakes
import numpy as np
import pytest

from innerear.errors import InputError
from innerear.statistics.design import Design
from innerear.statistics.design.file import read_design, summary, write_design

sheet = partial(fakes.sheet, n_seeds=4)
RATING = {"happy": 0.8, "sad": -0.7, "calm": 0.5, "energetic": 0.4}
rated = partial(sheet, ratings={emotion: (rating, 0) for emotion, rating in RATING.items()})


@pytest.mark.parametrize(("label", "shuffle"), [("emotion", False), ("valence", False), ("emotion", True)])
def test_the_stored_design_is_the_drawn_one(tmp_path, label, shuffle):
    design = Design(rated(), label=label, seed=5, n_permutations=99, n_bootstraps=7)
    design = design.shuffled() if shuffle else design
    write_design(design, tmp_path / "design.h5")
    again = read_design(rated(), tmp_path / "design.h5")
    np.testing.assert_array_equal(again.labels, design.labels)
    np.testing.assert_array_equal(again.permutations(99), design.permutations(99))
    assert again.permutation_hash(50) == design.permutation_hash(50)
    assert (again.n_permutations, again.n_bootstraps) == (99, 7)
    values = summary(again).set_index("property")["value"]
    assert values["smallest p"] == "0.01"
    assert values["folds"] == "5"
    with pytest.raises(InputError, match="stands where"):
        read_design(rated().iloc[::-1], tmp_path / "design.h5")


def test_the_record_says_what_the_study_could_establish():
    values = summary(Design(fakes.sheet(10, 2, own_seeds=True))).set_index("property")["value"]
    assert values["seeds"] == "2, each template its own"
    assert values["smallest p of sign flips"] == "0.00195"
    assert 0.2 < float(values["detectable effect f at p ≤ 0.05"]) < 0.25
    assert values["the same by sign flips at p ≤ 0.001"] == "none"
    assert values["not possible"] == "–"
    few = summary(Design(fakes.sheet(5, 2, ("happy", "sad")))).set_index("property")["value"]
    assert few["smallest p"] == "0.0625"
    assert few["detectable effect f at p ≤ 0.05"] == "none"
    assert "nothing can be established" in few["not possible"]

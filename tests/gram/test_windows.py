"""Windows and time bins by hand: where they begin and end, and the second in the middle of a bin."""

import numpy as np
import pytest
from fakes import Measured, make_design

from innerear.gram.reading import N_DECILES, named_windows
from innerear.gram.time_bins import bin_seconds


def test_ten_steps_are_ten_deciles_and_nine_are_none():
    pads = np.zeros(2, bool)
    windows = named_windows(np.r_[pads, np.ones(N_DECILES, bool), pads])
    assert windows["whole"] == (2, 12)
    assert [windows[f"decile_{i}"] for i in range(1, 11)] == [(step, step + 1) for step in range(2, 12)]
    assert (windows["first_10"], windows["last_10"]) == ((2, 3), (11, 12))
    assert named_windows(np.ones(N_DECILES - 1, bool)) == {"whole": (0, 9)}


def test_steps_that_deciles_cannot_share_equally_are_each_in_one():
    windows = named_windows(np.ones(27, bool))
    spans = [windows[f"decile_{i}"] for i in range(1, 11)]
    assert [step for begin, stop in spans for step in range(begin, stop)] == list(range(27))
    assert {stop - begin for begin, stop in spans} == {2, 3}


def test_a_bins_second_is_the_middle_of_its_first_and_last_step():
    design = make_design(2, 1)
    x = np.random.default_rng(0).normal(size=(design.n_samples, 2, 9, 4))
    gram = Measured(x, design, pads=1, n_bins=3)
    # Steps 1 … 7, of a fiftieth of a second each, fall into bins of 2, 3 and 2.
    assert gram.read("bin_steps").tolist() == [2, 3, 2]
    np.testing.assert_allclose(bin_seconds(gram), np.array([1.5, 4, 6.5]) / 50)
    together = Measured(x, design, pads=1, n_bins=2, steps_per_matrix=2)  # steps from 1, 3, 5, and 7 alone
    assert together.read("bin_steps").tolist() == [2, 2]
    assert bin_seconds(together) == pytest.approx(np.array([2, 6]) / 50)

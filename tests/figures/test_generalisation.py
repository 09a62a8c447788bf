"""Squares and transfer: values, hatching and marks are those of the table."""

import numpy as np
import pandas as pd
import pytest

from innerear.analyses.generalisation import EVIDENCE
from innerear.figures.drawing.tables import rows_of
from innerear.figures.generalisation import time_squares, transfer_curves


def test_squares_are_laid_out_train_by_test_and_marked(answers):
    figure = time_squares(answers.generalisation, model="nano", contrast="emotion")
    assert "Probes of emotion judged at other times, nano" in figure.get_suptitle()
    assert "99 permutations, smallest p 0.01" in figure.get_suptitle()
    branches = list(dict.fromkeys(rows_of(answers.generalisation, over="bins")["branch"]))
    panel = figure.axes[2 * branches.index("uncond")]
    cells = rows_of(answers.generalisation, statistic=EVIDENCE, over="bins", branch="uncond", layer=0)
    square = cells.pivot(index="train", columns="test", values="estimate").to_numpy()
    np.testing.assert_allclose(panel.images[0].get_array(), square)
    found = cells["p_corrected"].to_numpy().reshape(square.shape) <= 0.05
    assert 0 < found.sum() < found.size
    *_, hatched = panel.collections
    inside = [
        [path.contains_point((x, y)) for path in hatched.get_paths()] for y, x in np.ndindex(found.shape)
    ]
    np.testing.assert_array_equal(np.any(inside, axis=1).reshape(found.shape), ~found)
    assert "hatched: p > 0.05" in figure.get_suptitle()
    named = [f"{one:.1f}" for one in cells["train_seconds"].drop_duplicates()]
    assert [text.get_text() for text in panel.get_yticklabels()] == named
    assert [text.get_text() for text in figure.axes[-2].get_xticklabels()] == named
    assert f"{len(square)} time bins" in figure.get_suptitle()
    assert (panel.get_ylabel(), panel.get_title()) == ("uncond\nfitted at (s)", "")


@pytest.mark.parametrize(("n_bins", "named"), [(20, [0, 5, 10, 15]), (168, [0, 45, 90, 135])])
def test_a_few_of_many_bins_are_named(n_bins, named):
    bins = np.arange(n_bins)
    rows = {"train": np.repeat(bins, n_bins), "test": np.tile(bins, n_bins), "estimate": 0.1}
    rows |= {"train_seconds": rows["train"] / 2, "test_seconds": rows["test"] / 2}
    of = {"statistic": EVIDENCE, "over": "bins", "branch": "uncond", "layer": 0, "n_prompts": 8}
    tested = {"p_corrected": 1.0, "n_perm": 99, "min_p": 0.01, "family": "layers"}
    panel, *_ = time_squares(pd.DataFrame(rows | of | tested), model="nano", contrast="emotion").axes
    assert panel.get_yticks().tolist() == panel.get_xticks().tolist() == named


def test_transfer_has_bands_and_fills_what_is_significant(answers):
    figure = transfer_curves(answers.generalisation, model="nano", contrast="emotion")
    assert "filled: p ≤ 0.05 by max-T" in figure.get_suptitle()
    rows = rows_of(
        answers.generalisation, statistic=EVIDENCE, over="windows", branch="cond → uncond", layer=0
    )
    rows = rows[rows["train"].str.startswith("decile_")]
    panel = figure.axes[0]
    np.testing.assert_allclose(panel.lines[1].get_ydata(), rows["estimate"])
    band = panel.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose((band.min(), band.max()), (rows["ci_lo"].min(), rows["ci_hi"].max()))
    white = (panel.collections[1].get_facecolors()[:, :3] == 1).all(axis=1)
    assert (white == (rows["p_corrected"] > 0.05)).all()
    assert figure.axes[-1].get_xlabel() == "tenth of the clip"
    assert list(figure.axes[-1].get_xticks()) == [1, 4, 7, 10]
    assert "bands: 95% of 50 bootstraps of templates" in figure.get_suptitle()

"""The figure of single dimensions: shares beside random bases, filled where significant."""

import numpy as np

from innerear.analyses.dimensions import BEYOND, BY_DIMENSION, ROTATED
from innerear.figures.dimensions import SHOWN, draw
from innerear.figures.drawing.tables import rows_of


def test_shares_random_bases_and_the_strongest_dimensions(answers):
    figure = draw(answers.dimensions, model="nano")["dimensions"]
    title = figure.get_suptitle()
    assert "that differ, nano" in title
    assert "n: 16 prompts; 99 permutations, smallest p 0.01" in title
    assert "max-T over layers × branches" in title
    branches = list(dict.fromkeys(answers.dimensions["branch"]))
    for column, branch in enumerate(branches):
        above, below = figure.axes[column], figure.axes[column + len(branches)]
        own = rows_of(answers.dimensions, branch=branch, statistic=BEYOND).sort_values("layer")
        own_line, filled = above.lines[1:3]
        np.testing.assert_allclose(own_line.get_ydata(), own["estimate"])
        assert filled.get_xdata().tolist() == own["layer"][own["p_corrected"] <= 0.05].tolist()
        rotated = rows_of(answers.dimensions, branch=branch, statistic=ROTATED)
        band = above.collections[0].get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose(
            (band.min(), band.max()), (rotated["rotated_lo"].min(), rotated["rotated_hi"].max())
        )
        strongest = rows_of(answers.dimensions, branch=branch, statistic=BY_DIMENSION)
        assert len(below.collections[0].get_offsets()) == (strongest["selection_frequency"] >= SHOWN).sum()
    uncond = rows_of(answers.dimensions, branch="uncond", statistic=BEYOND)
    assert (uncond["p_corrected"] <= 0.05).all()


def test_without_an_f_the_panels_say_why(answers):
    gaps = dict.fromkeys(
        ("estimate", "p", "p_corrected", "selection_frequency", "rotated_lo", "rotated_hi"), np.nan
    )
    table = answers.dimensions.assign(**gaps, null="none: all prompts have one emotion")
    figure = draw(table, model="nano")["dimensions"]
    assert "not tested (all prompts have one emotion)" in figure.get_suptitle()
    assert [text.get_text().replace("\n", " ") for text in figure.axes[0].texts] == [
        "all prompts have one emotion"
    ]

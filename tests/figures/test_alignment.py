"""Alignment figures: same seeds below the diagonal, seed halves above and on it."""

import numpy as np
import pytest

from innerear.analyses.alignment import ACROSS, ITSELF, OVER_LAYERS, OVER_TIME, SAME
from innerear.figures.alignment import draw
from innerear.figures.drawing.tables import rows_of


def test_layers_have_both_comparisons_and_the_ceiling(answers):
    figure = draw(answers.alignment, model="nano")["alignment_layers"]
    assert "Layer × layer, debiased CKA, nano" in figure.get_suptitle()
    assert "n: 16 prompts" in figure.get_suptitle()
    assert "diagonal is the noise ceiling" in figure.get_suptitle()
    branches = list(dict.fromkeys(answers.alignment["branch"]))
    for panel, branch in zip(figure.axes, branches, strict=False):
        rows = rows_of(answers.alignment, statistic=OVER_LAYERS, branch=branch)
        one = {
            samples: rows_of(rows, samples=samples, layer=0, layer_2=3)["estimate"].item()
            for samples in (SAME, ACROSS)
        }
        itself = rows_of(answers.alignment, statistic=OVER_LAYERS + ITSELF, branch=branch)
        ceiling = rows_of(itself, samples=ACROSS, layer=0, layer_2=0)["estimate"].item()
        shown = np.ma.filled(panel.images[0].get_array(), np.nan)
        assert (shown[1, 0], shown[0, 1], shown[0, 0]) == pytest.approx(
            (one[SAME], one[ACROSS], ceiling), nan_ok=True
        )
    assert panel.images[0].get_clim() == (0, 1)


def test_time_squares_are_labelled_in_seconds(answers):
    figure = draw(answers.alignment, model="nano")["alignment_time"]
    assert "Time × time, debiased CKA, nano" in figure.get_suptitle()
    assert "5 time bins" in figure.get_suptitle()
    panel = figure.axes[0]
    assert panel.get_title() == "cond, layer 0"
    rows = rows_of(answers.alignment, statistic=OVER_TIME, branch="cond", layer=0, samples=SAME)
    shown = np.ma.filled(panel.images[0].get_array(), np.nan)
    assert shown[3, 1] == pytest.approx(rows_of(rows, bin=1, bin_2=3)["estimate"].item())
    assert figure.axes[-2].get_xlabel() == "seconds"
    first = next(text.get_text() for text in figure.axes[4].get_xticklabels())
    assert first == f"{rows['seconds'].min():.1f}"

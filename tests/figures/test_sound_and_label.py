"""The shares of label and sound are those of the table."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from innerear.analyses.sound_and_label import BEYOND_LABEL, BOTH, LABEL, SOUND
from innerear.figures.sound_and_label import draw

LAYERS = (0, 3)


@pytest.fixture
def table():
    rows = [
        (
            branch,
            window,
            layer,
            statistic,
            0.1 * place + 0.01 * layer,
            np.nan if statistic == BOTH else 0.02 + layer,
        )
        for branch in ("cond", "uncond")
        for window in ("whole", "last_10")
        for layer in LAYERS
        for place, statistic in enumerate((LABEL, SOUND, BOTH, BEYOND_LABEL))
    ]
    columns = ["branch", "window", "layer", "statistic", "estimate", "p_corrected"]
    table = pd.DataFrame(rows, columns=columns)
    table.loc[table["statistic"] == BOTH, "p_corrected"] = np.nan
    table = table.assign(ci_lo=table["estimate"] - 0.1, ci_hi=table["estimate"] + 0.1, null="")
    return table.assign(n_prompts=20, n_perm=99, min_p=0.01, family="the map")


def test_lines_and_filled_marks(table):
    dimensions = pd.DataFrame(
        [
            (branch, layer, 0.01 if d < 1 + layer else 0.9)
            for branch in ("cond", "uncond")
            for layer in LAYERS
            for d in range(4)
        ],
        columns=["branch", "layer", "p_corrected"],
    )
    figure = draw(table, dimensions, model="nano", contrast="emotion")["sound_and_label"]
    whole, percent = figure.axes[0], figure.axes[4]
    lines = [
        line.get_ydata() for line in whole.lines if len(line.get_xdata()) == 2 and line.get_marker() == "None"
    ]
    for place in range(4):
        assert any(np.allclose(line, [0.1 * place, 0.1 * place + 0.03]) for line in lines)
    points = [marks for marks in whole.collections if isinstance(marks, PathCollection)]
    assert len(points) == 3  # all but label and sound together, which is not tested
    for marks in points:
        filled = (marks.get_facecolors() != 1).any(axis=1)
        assert marks.get_offsets()[filled][:, 0].tolist() == [0]
    assert percent.lines[0].get_ydata().tolist() == [25, 100]
    assert "smallest p 0.01" in figure.get_suptitle()

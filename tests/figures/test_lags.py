"""Lag curves are those of the table, thick where they are significant."""

import numpy as np
import pandas as pd
import pytest

from innerear.figures.lags import draw

LAGS = np.arange(-3, 4)


@pytest.fixture
def table():
    rows = [
        (
            branch,
            name,
            layer,
            lag,
            -abs(lag - 1) + layer if name == "rms" else np.nan,
            0.01 if lag == 1 else 0.5,
        )
        for branch in ("cond", "uncond")
        for name in ("rms", "flux")
        for layer in (0, 3)
        for lag in LAGS
    ]
    table = pd.DataFrame(rows, columns=["branch", "feature", "layer", "lag", "estimate", "p_corrected"])
    table["moment"] = np.where(table["lag"].abs() <= 1, "the same moment", "planning")
    missing = table["feature"] == "flux"
    table.loc[missing, "p_corrected"] = np.nan
    return table.assign(
        n_prompts=20, n_perm=99, min_p=0.01, family="the map", null=np.where(missing, "none: too quiet", "")
    )


def test_lines_peaks_and_reasons(table):
    figure = draw(table, model="nano", contrast="emotion")["lags"]
    rms, flux = figure.axes[0], figure.axes[2]
    thin = [line for line in rms.lines if len(line.get_xdata()) == len(LAGS) and line.get_linewidth() < 1]
    assert [line.get_ydata().tolist() for line in thin] == [
        (-abs(LAGS - 1) + layer).tolist() for layer in (0, 3)
    ]
    thick = [line.get_ydata() for line in rms.lines if line.get_linewidth() == 2]
    assert [np.flatnonzero(np.isfinite(values)).tolist() for values in thick] == [[4], [4]]
    dots = [line.get_xydata().tolist() for line in rms.lines if line.get_marker() == "o"]
    assert dots == [[[1, 0]], [[1, 3]]]
    assert [text.get_text() for text in flux.texts] == ["too quiet"]
    assert "99 permutations" in figure.get_suptitle()
    now = [patch.get_extents().transformed(rms.transData.inverted()) for patch in rms.patches]
    assert [(round(box.x0, 6), round(box.x1, 6)) for box in now] == [(-1.5, 1.5)]


def test_nothing_tested_says_why(table):
    none = table.assign(p_corrected=np.nan, null="none: one prompt")
    figure = draw(none, model="nano", contrast="emotion")["lags"]
    assert "not tested (one prompt)" in figure.get_suptitle()

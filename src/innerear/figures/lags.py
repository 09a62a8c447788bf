"""States and sound over time: one curve over lags per layer, branch and feature."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from innerear.acoustics.features import feature_label
from innerear.analyses.lags import MOMENT
from innerear.figures.drawing.grid import Grid, say_why_not
from innerear.figures.drawing.style import SEQUENTIAL, styled
from innerear.figures.drawing.tables import distinct, how_tested, rows_of, spread_evenly
from innerear.statistics.significance import ALPHA

MAX_LAYERS = 8


@styled
def draw(table: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw held-out correlation over lags, a row per feature, a column per branch, a line per layer.

    A line is thick where p ≤ .05 by max-T over the whole map; a dot marks the peak of each line that is
    significant somewhere. Lags at which sound is neither planned nor history are grey (`lags.moment`). At
    most 8 layers are drawn, spread evenly.
    """
    branches, features = distinct(table, "branch"), distinct(table, "feature")
    layers = spread_evenly(distinct(table, "layer"), MAX_LAYERS)
    how = textwrap.fill(f"{how_tested(table, f'thick: p ≤ {ALPHA}')}; dot: the peak", 90)
    title = f"States of {model} and the sound before and after"
    sides = [f"{feature_label(name)}\nr" for name in features]
    grid = Grid(title, how, {"feature": features}, {"branch": branches}, panel=(2.5, 1.25), sides=sides)
    # The lightest end of the scale is hard to see on white.
    last = max(layers[-1], layers[0] + 1)
    scale = ScalarMappable(Normalize(layers[0], last * 1.15), SEQUENTIAL)
    colours = dict(zip(layers, scale.to_rgba(np.array(layers)), strict=True))
    for panel, where in grid:
        _draw(panel, rows_of(table, **where), colours)
    grid.figure.supxlabel("history ← lag (frames; grey: the same moment) → planning", fontsize=9)
    bar = grid.figure.colorbar(scale, ax=grid.axes, label="layer", shrink=0.5, pad=0.01, ticks=layers)
    bar.ax.set_ylim(layers[0], last)
    return {"lags": grid.figure}


def _draw(axes: Axes, rows: pd.DataFrame, colours: dict) -> None:
    now = rows.loc[rows["moment"] == MOMENT, "lag"].to_numpy(float)
    if len(now):
        axes.axvspan(now.min() - 0.5, now.max() + 0.5, color="0.92", linewidth=0, zorder=0)
    axes.axvline(0, color="0.7", linewidth=0.8)
    axes.axhline(0, color="0.7", linewidth=0.8)
    if say_why_not(axes, rows, 40, fontsize=6.5):
        return
    for layer, colour in colours.items():
        line = rows_of(rows, layer=layer).sort_values("lag")
        lag, r, p = line[["lag", "estimate", "p_corrected"]].to_numpy(float).T
        axes.plot(lag, r, color=colour, linewidth=0.7)
        axes.plot(lag, np.where(p <= ALPHA, r, np.nan), color=colour, linewidth=2)
        if (p <= ALPHA).any():
            axes.plot(lag[np.argmax(r)], r.max(), "o", color=colour, markersize=3.5)

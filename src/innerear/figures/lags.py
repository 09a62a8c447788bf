"""States and sound over time: one curve over lags per layer, branch and feature."""

import textwrap

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from innerear.acoustics.features import feature_label
from innerear.figures.maps import distinct, how_tested, name_grid, rows_of, spread_evenly, why_not_tested
from innerear.figures.style import SEQUENTIAL, new_figure, styled
from innerear.statistics.significance import ALPHA

MAX_LAYERS = 8


def draw(table: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw the figure of `innerear.analyses.lags` by file name, from the map of all layers."""
    return {"lags": lag_curves(table, model=model)}


@styled
def lag_curves(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw held-out correlation over lags, a row per feature, a column per branch, a line per layer.

    Returns
    -------
    A line is thick where p ≤ .05 by max-T over the whole map; a dot marks the peak of each line that is
    significant somewhere. At most 8 layers are drawn, spread evenly.
    """
    branches, features = distinct(table, "branch"), distinct(table, "feature")
    layers = spread_evenly(distinct(table, "layer"), MAX_LAYERS)
    how = textwrap.fill(f"{how_tested(table, f'thick: p ≤ {ALPHA}')}; dot: the peak", 90)
    look = {"subtitle": how, "panel": (2.5, 1.25), "sharex": True, "sharey": "row"}
    title = f"States of {model} and the sound before and after"
    figure, axes = new_figure(len(features), len(branches), title=title, **look)
    # The lightest end of the scale is hard to see on white.
    scale = Normalize(layers[0], max(layers[-1], layers[0] + 1) * 1.15)
    colours = {layer: matplotlib.colormaps[SEQUENTIAL](scale(layer)) for layer in layers}
    for row, feature in enumerate(features):
        for panel, branch in zip(axes[row], branches, strict=True):
            _draw(panel, rows_of(table, branch=branch, feature=feature), colours)
    name_grid(axes, branches, [f"{feature_label(feature)}\nr" for feature in features])
    figure.supxlabel("sound earlier ← lag (frames) → sound later", fontsize=9)
    mappable = ScalarMappable(scale, matplotlib.colormaps[SEQUENTIAL])
    bar = figure.colorbar(mappable, ax=axes, label="layer", shrink=0.5, pad=0.01, ticks=layers)
    bar.ax.set_ylim(layers[0], max(layers[-1], layers[0] + 1))
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, colours: dict) -> None:
    axes.axvline(0, color="0.7", linewidth=0.8)
    axes.axhline(0, color="0.7", linewidth=0.8)
    if not np.isfinite(rows["estimate"].to_numpy(float)).any():
        place = {"transform": axes.transAxes, "ha": "center", "va": "center", "fontsize": 6.5, "wrap": True}
        axes.text(0.5, 0.5, why_not_tested(rows), **place)
        return
    for layer, colour in colours.items():
        line = rows_of(rows, layer=layer).sort_values("lag")
        lag, r, p = (line[name].to_numpy(float) for name in ("lag", "estimate", "p_corrected"))
        axes.plot(lag, r, color=colour, linewidth=0.7)
        axes.plot(lag, np.where(p <= ALPHA, r, np.nan), color=colour, linewidth=2)
        if (p <= ALPHA).any():
            axes.plot(lag[np.argmax(r)], r.max(), "o", color=colour, markersize=3.5)

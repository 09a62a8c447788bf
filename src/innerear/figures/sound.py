"""R² of acoustic features of held-out clips, predicted from each layer."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.acoustics.features import feature_label
from innerear.analyses.sound import BEYOND, HELD_OUT
from innerear.figures.drawing.grid import Grid
from innerear.figures.drawing.style import BRANCHES, SEQUENTIAL, styled
from innerear.figures.drawing.tables import distinct, how_tested, largest, rows_of, spread_evenly
from innerear.statistics.significance import ALPHA

_TITLES = {
    HELD_OUT: "Clip acoustics predicted from the states of {model}",
    BEYOND: "Clip acoustics in the states of {model}, beyond the {contrast}",
}
_SCALES = {HELD_OUT: "held-out R² (0 = the training mean)", BEYOND: "share of what the {contrast} leaves"}


def draw(table: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw the figures of `innerear.analyses.sound`."""
    words = {"model": model, "contrast": contrast}
    return {"sound": r2_map(table, HELD_OUT, **words), "sound_beyond": r2_map(table, BEYOND, **words)}


@styled
def r2_map(table: pd.DataFrame, statistic: str, *, model: str, contrast: str) -> Figure:
    """Draw R² of whole clips, feature × layer, one column per branch.

    R² below 0 (worse than the training mean) has the colour of 0, which the arrow of the scale says. A star
    marks p ≤ .05 by max-T; features that could not be used are hatched.
    """
    table = rows_of(table, statistic=statistic, window="whole")
    layers, branches = sorted(distinct(table, "layer")), distinct(table, "branch")
    units = dict(zip(table["feature"].tolist(), table["unit"].tolist(), strict=True))
    top = largest(table, floor=0.1)
    how = f"{how_tested(table, marked=f'*: p ≤ {ALPHA}')}; folds of whole templates or prompts"
    size = max(1.9, 0.28 * len(layers) + 0.6), 0.17 * len(units) + 0.6
    title = _TITLES[statistic].format(model=model, contrast=contrast)
    # Lines short enough for the narrowest figure, of two layers.
    how = textwrap.fill(how, 60)
    tops = [BRANCHES.get(branch, branch).replace(" (", "\n(") for branch in branches]
    grid = Grid(title, how, {"window": ["whole"]}, {"branch": branches}, panel=size, sides=[], tops=tops)
    for panel, where in grid:
        _draw(panel, rows_of(table, **where), list(units), layers, top)
        panel.title.set_fontsize(8)
    names = [feature_label(name, unit) for name, unit in units.items()]
    grid.axes[0, 0].set_yticks(range(len(units)), names, fontsize=7)
    grid.name_x("layer")
    below = np.nanmin(table["estimate"].to_numpy(float), initial=0) < 0
    grid.bar(_SCALES[statistic].format(contrast=contrast), shrink=0.6, extend="min" if below else "neither")
    return grid.figure


def _draw(axes: Axes, rows: pd.DataFrame, features: list[str], layers: list[int], top: float) -> None:
    """Draw the map [features, L] of one branch."""
    both = (rows.pivot(index="feature", columns="layer", values=name) for name in ("estimate", "p_corrected"))
    values, corrected = (wide.reindex(features, columns=layers).to_numpy(float) for wide in both)
    axes.set_facecolor("white")
    look = {"cmap": SEQUENTIAL, "vmin": 0, "vmax": top, "interpolation": "nearest", "aspect": "auto"}
    axes.imshow(np.clip(values, 0, None), **look)
    for row in np.flatnonzero(np.isnan(values).all(axis=1)):
        axes.axhspan(row - 0.5, row + 0.5, facecolor="white", edgecolor="0.6", hatch="////", linewidth=0)
    for row, layer in np.argwhere(corrected <= ALPHA):
        colour = "black" if values[row, layer] > 0.6 * top else "white"
        axes.text(layer, row + 0.05, "*", color=colour, ha="center", va="center", fontsize=9)
    shown = spread_evenly(range(len(layers)), 12)
    axes.set_xticks(shown, [str(layers[i]) for i in shown])

"""Shares of the states that label and sound explain, by layer."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.sound_and_label import BEYOND_LABEL, BOTH, LABEL, SOUND
from innerear.figures.drawing.grid import Grid, draw_band, draw_points
from innerear.figures.drawing.style import styled
from innerear.figures.drawing.tables import distinct, how_tested, rows_of
from innerear.statistics.significance import ALPHA

# Of Paul Tol's muted scheme, as the branches' colours are, and like these none is an emotion's.
_STYLES = {
    LABEL: ("{contrast}", "#117733", "-"),
    SOUND: ("sound", "#CC6677", "-"),
    BOTH: ("{contrast} and sound", "black", ":"),
    BEYOND_LABEL: ("sound, of what the {contrast} leaves", "#88CCEE", "-"),
}
_WINDOWS = {"whole": "whole clip", "first_10": "first tenth", "last_10": "last tenth"}


@styled
def draw(table: pd.DataFrame, dimensions: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw R² by layer, a row per window and a column per branch; below, the share of dimensions.

    Filled points: p ≤ .05 by max-T over layers × branches × windows.
    """
    branches, windows = {"branch": distinct(table, "branch")}, distinct(table, "window")
    how = f"{how_tested(table, f'filled: p ≤ {ALPHA}')}; bands: 95 %; folds of whole templates or prompts"
    title = f"States of {model} explained by the {contrast} and by the sound of the clip"
    sides = [f"{_WINDOWS.get(window, window)}\nheld-out R²" for window in windows]
    rows, sides = {"window": [*windows, None]}, [*sides, "dimensions the\nsound predicts (%)"]
    grid = Grid(title, textwrap.fill(how, 90), rows, branches, panel=(2.5, 1.5), sides=sides)
    for panel, where in grid:
        if where["window"] is None:
            _draw_dimensions(panel, rows_of(dimensions, branch=where["branch"]))
        else:
            _draw(panel, rows_of(table, **where), contrast)
    grid.name_x("layer", distinct(table, "layer"))
    grid.legend(4)
    return {"sound_and_label": grid.figure}


def _draw(axes: Axes, rows: pd.DataFrame, contrast: str) -> None:
    axes.axhline(0, color="0.7", linewidth=0.8)
    for statistic, (name, colour, dashes) in _STYLES.items():
        line = rows_of(rows, statistic=statistic)
        if statistic == BOTH:  # its parts are tested, and have the intervals
            line = line.assign(ci_lo=np.nan, ci_hi=np.nan)
        else:
            draw_points(axes, line, "layer", colour)
        draw_band(axes, line, "layer", colour, dashes, name.format(contrast=contrast))


def _draw_dimensions(axes: Axes, rows: pd.DataFrame) -> None:
    p = rows.dropna(subset=["p_corrected"]).groupby("layer")["p_corrected"]
    percent = p.agg(lambda of_layer: 100 * float(np.mean(of_layer <= ALPHA))).reindex(
        sorted(set(rows["layer"]))
    )
    axes.plot(percent.index, percent, "o-", color="black", markersize=4, linewidth=1)
    axes.set_ylim(-5, 105)

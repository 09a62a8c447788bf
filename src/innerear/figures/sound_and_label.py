"""How much of the states label and sound explain, layer by layer."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.sound_and_label import BEYOND_LABEL, BOTH, LABEL, SOUND
from innerear.figures.maps import distinct, draw_band, draw_points, how_tested, name_grid, rows_of
from innerear.figures.style import new_figure, styled
from innerear.statistics.significance import ALPHA

# Of Paul Tol's muted scheme, as the branches' colours are, and like these none is an emotion's.
_STYLES = {
    LABEL: ("{contrast}", "#117733", "-"),
    SOUND: ("sound", "#CC6677", "-"),
    BOTH: ("{contrast} and sound", "black", ":"),
    BEYOND_LABEL: ("sound beyond the {contrast}", "#88CCEE", "-"),
}
_WINDOWS = {"whole": "whole clip", "first_10": "first tenth", "last_10": "last tenth"}


def draw(table: pd.DataFrame, dimensions: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw the figure of `innerear.analyses.sound_and_label` by file name, from its tables of all layers."""
    return {"sound_and_label": shares(table, dimensions, model=model, contrast=contrast)}


@styled
def shares(table: pd.DataFrame, dimensions: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw R² by layer, a row per window and a column per branch; below, the share of dimensions.

    Returns
    -------
    Filled points: p ≤ .05 by max-T over layers × branches × windows.
    """
    branches, windows = distinct(table, "branch"), distinct(table, "window")
    how = f"{how_tested(table, f'filled: p ≤ {ALPHA}')}; bands: 95 %; folds of whole templates or prompts"
    look = {"subtitle": textwrap.fill(how, 90), "panel": (2.5, 1.5), "sharex": True, "sharey": "row"}
    title = f"States of {model} explained by the {contrast} and by the sound of the clip"
    figure, axes = new_figure(len(windows) + 1, len(branches), title=title, **look)
    for column, branch in enumerate(branches):
        for row, window in enumerate(windows):
            _draw(axes[row, column], rows_of(table, branch=branch, window=window), contrast)
        _draw_dimensions(axes[-1, column], rows_of(dimensions, branch=branch))
        axes[-1, column].set_xlabel("layer")
        axes[-1, column].set_xticks(sorted(distinct(table, "layer")))
    sides = [f"{_WINDOWS.get(window, window)}\nheld-out R²" for window in windows]
    name_grid(axes, branches, [*sides, "dimensions the\nsound predicts (%)"])
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, contrast: str) -> None:
    axes.axhline(0, color="0.7", linewidth=0.8)
    for statistic, (name, colour, dashes) in _STYLES.items():
        line, label = rows_of(rows, statistic=statistic).sort_values("layer"), name.format(contrast=contrast)
        layer = line["layer"].to_numpy(float)
        if statistic == BOTH:  # its parts are tested, and have the intervals
            estimate = line["estimate"].to_numpy(float)
            axes.plot(layer, estimate, dashes, color=colour, linewidth=0.9, label=label)
        else:
            draw_band(axes, layer, line, colour, dashes, label)
            draw_points(axes, layer, line, colour)


def _draw_dimensions(axes: Axes, rows: pd.DataFrame) -> None:
    layers = sorted(distinct(rows, "layer"))
    of = [rows_of(rows, layer=layer)["p_corrected"].to_numpy(float) for layer in layers]
    percent = [100 * float(np.mean(p <= ALPHA)) if np.isfinite(p).any() else np.nan for p in of]
    axes.plot(layers, np.array(percent), "o-", color="black", markersize=4, linewidth=1)
    axes.set_ylim(-5, 105)

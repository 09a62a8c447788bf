"""Probes judged at other times, and in the other branch, than they were fitted in."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.generalisation import BINS, EVIDENCE, WINDOWS
from innerear.figures.maps import (
    MAX_LAYERS,
    distinct,
    draw_band,
    draw_points,
    how_tested,
    name_grid,
    rows_of,
    spread_evenly,
)
from innerear.figures.style import BRANCH_COLOURS, DIVERGING, new_figure, styled
from innerear.statistics.significance import ALPHA


def draw(table: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw all figures of `innerear.analyses.generalisation`, by file name.

    Parameters
    ----------
    table : the map of all layers.
    model, contrast : for the titles.
    """
    return {
        "generalisation": time_squares(table, model=model, contrast=contrast),
        "transfer": transfer_curves(table, model=model, contrast=contrast),
    }


@styled
def time_squares(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw held-out evidence, train bin × test bin; max-T significance is outlined.

    Returns
    -------
    One row per branch, one column per layer (six at most, spread evenly).
    """
    mine = rows_of(table, statistic=EVIDENCE, over=BINS)
    layers, branches = spread_evenly(distinct(table, "layer"), MAX_LAYERS), distinct(mine, "branch")
    n_bins = len(distinct(mine, "train"))
    estimates = np.abs(mine["estimate"].to_numpy(float))
    limit = float(max(estimates[np.isfinite(estimates)], default=1.0)) or 1.0
    how = how_tested(mine, marked=f"outlined: p ≤ {ALPHA}") if len(mine) else "no folds are possible"
    look = {"subtitle": how, "panel": (1.9, 1.8), "sharex": True, "sharey": True}
    title = f"Probes of {contrast} judged at other times, {model}"
    figure, axes = new_figure(max(len(branches), 1), len(layers), title=title, **look)
    image = None
    for row, branch in enumerate(branches):
        for panel, layer in zip(axes[row], layers, strict=True):
            cells = rows_of(mine, branch=branch, layer=layer)
            square = cells["estimate"].to_numpy(float).reshape(n_bins, n_bins)
            image = panel.imshow(square, origin="lower", cmap=DIVERGING, vmin=-limit, vmax=limit)
            _outline(panel, cells["p_corrected"].to_numpy(float).reshape(square.shape) <= ALPHA)
    _name(axes, layers, [f"{branch}\nfitted in bin" for branch in branches], "judged in bin")
    if image is not None:
        figure.colorbar(image, ax=axes, label="probe evidence", shrink=0.6, pad=0.01)
    return figure


def _name(axes: np.ndarray, layers: list[int], sides: list[str], below: str) -> None:
    if sides:
        name_grid(axes, [f"layer {layer}" for layer in layers], sides)
        for panel in axes[-1]:
            panel.set_xlabel(below)


def _outline(axes: Axes, found: np.ndarray) -> None:
    """Draw the edges between cells that are and cells that are not."""
    padded = np.pad(found.astype(int), 1)
    for row, column in zip(*np.nonzero(np.diff(padded, axis=0)), strict=True):
        axes.plot([column - 1.5, column - 0.5], [row - 0.5] * 2, color="black", linewidth=0.8)
    for row, column in zip(*np.nonzero(np.diff(padded, axis=1)), strict=True):
        axes.plot([column - 0.5] * 2, [row - 1.5, row - 0.5], color="black", linewidth=0.8)


@styled
def transfer_curves(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the evidence of probes that were fitted in the other branch, by tenth of the clip.

    Returns
    -------
    One row per direction, one column per layer (six at most); filled points are significant.
    """
    mine = rows_of(table, statistic=EVIDENCE, over=WINDOWS)
    mine = mine.iloc[np.flatnonzero([str(name).startswith("decile_") for name in mine["train"]])]
    layers, directions = spread_evenly(distinct(table, "layer"), MAX_LAYERS), distinct(mine, "branch")
    how = how_tested(mine, marked=f"filled: p ≤ {ALPHA}") if len(mine) else "nothing to transfer"
    look = {"subtitle": how, "panel": (1.9, 1.7), "sharex": True, "sharey": True}
    title = f"Probes of {contrast} fitted in one branch and judged in the other, {model}"
    figure, axes = new_figure(max(len(directions), 1), len(layers), title=title, **look)
    for row, direction in enumerate(directions):
        colour = BRANCH_COLOURS[direction.split(" → ")[0]]
        for panel, layer in zip(axes[row], layers, strict=True):
            cells = rows_of(mine, branch=direction, layer=layer)
            tenth = np.arange(1, len(cells) + 1)
            panel.axhline(0, color="0.6", linewidth=0.6)
            draw_band(panel, tenth, cells, colour)
            draw_points(panel, tenth, cells, colour)
    _name(axes, layers, [f"{direction}\nevidence" for direction in directions], "tenth of the clip")
    return figure

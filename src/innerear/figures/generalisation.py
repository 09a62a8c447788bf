"""Probes judged at other times, and in the other branch, than they were fitted in."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.generalisation import BINS, EVIDENCE, WINDOWS
from innerear.figures.grid import Grid, draw_band, draw_points
from innerear.figures.style import BRANCH_COLOURS, DIVERGING, styled
from innerear.figures.tables import distinct, how_tested, largest, rows_of, spread_evenly
from innerear.statistics.significance import ALPHA


def draw(table: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw the figures of `innerear.analyses.generalisation`."""
    return {
        "generalisation": time_squares(table, model=model, contrast=contrast),
        "transfer": transfer_curves(table, model=model, contrast=contrast),
    }


@styled
def time_squares(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw held-out evidence, train bin × test bin; max-T significance is outlined.

    One row per branch, one column per layer (six at most, spread evenly).
    """
    mine = rows_of(table, statistic=EVIDENCE, over=BINS)
    limit = largest(mine)
    how = how_tested(mine, marked=f"outlined: p ≤ {ALPHA}") if len(mine) else "no folds are possible"
    title = f"Probes of {contrast} judged at other times, {model}"
    grid = _by_layer(title, how, mine, table, panel=(1.9, 1.8), sides="{}\nfitted in bin")
    for panel, where in grid:
        cells = rows_of(mine, **where)
        n_bins = len(distinct(cells, "train"))
        estimate = cells["estimate"].to_numpy(float).reshape(n_bins, -1)
        panel.imshow(estimate, origin="lower", cmap=DIVERGING, vmin=-limit, vmax=limit)
        _outline(panel, cells["p_corrected"].to_numpy(float).reshape(n_bins, -1) <= ALPHA)
    grid.name_x("judged in bin")
    grid.bar("probe evidence", shrink=0.6)
    return grid.figure


def _by_layer(title: str, how: str, rows: pd.DataFrame, table: pd.DataFrame, **look) -> Grid:
    """Make a grid with a row per branch of `rows`, or direction, and a column per layer of the table."""
    layers = {"layer": spread_evenly(distinct(table, "layer"))}
    return Grid(
        title, how, {"branch": distinct(rows, "branch")}, layers, tops="layer {}", sharey=True, **look
    )


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

    One row per direction, one column per layer (six at most); filled points are significant.
    """
    mine = rows_of(table, statistic=EVIDENCE, over=WINDOWS)
    mine = mine.iloc[np.flatnonzero(mine["train"].astype(str).str.startswith("decile_"))]
    how = how_tested(mine, marked=f"filled: p ≤ {ALPHA}") if len(mine) else "nothing to transfer"
    title = f"Probes of {contrast} fitted in one branch and judged in the other, {model}"
    grid = _by_layer(title, how, mine, table, panel=(1.9, 1.7), sides="{}\nevidence")
    grid.zero()
    for panel, where in grid:
        cells = rows_of(mine, **where)
        cells = cells.assign(tenth=range(1, len(cells) + 1))
        colour = BRANCH_COLOURS[where["branch"].split(" → ")[0]]
        draw_band(panel, cells, "tenth", colour)
        draw_points(panel, cells, "tenth", colour)
    grid.name_x("tenth of the clip")
    return grid.figure

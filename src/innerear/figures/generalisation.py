"""Probes judged at other times, and in the other branch, than they were fitted in."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from innerear.analyses.generalisation import BINS, EVIDENCE, WINDOWS
from innerear.figures.drawing.grid import Grid, draw_band, draw_points
from innerear.figures.drawing.maps import draw_map
from innerear.figures.drawing.style import BRANCH_COLOURS, DIVERGING, styled
from innerear.figures.drawing.tables import distinct, how_tested, intervals, largest, rows_of, spread_evenly
from innerear.statistics.significance import ALPHA


def draw(table: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw the figures of `innerear.analyses.generalisation`."""
    return {
        "generalisation": time_squares(table, model=model, contrast=contrast),
        "transfer": transfer_curves(table, model=model, contrast=contrast),
    }


@styled
def time_squares(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw held-out evidence, train bin × test bin; what is not significant by max-T is hatched.

    One row per branch, one column per layer (six at most, spread evenly).
    """
    mine = rows_of(table, statistic=EVIDENCE, over=BINS)
    limit = largest(mine)
    seconds = distinct(mine, "train_seconds")
    n_bins = len(seconds)
    how = f"{how_tested(mine)}; {n_bins} time bins" if n_bins else "no folds are possible"
    title = f"Probes of {contrast} judged at other times, {model}"
    grid = _by_layer(title, how, mine, table, panel=(1.9, 1.8), sides="{}\nfitted at (s)")
    ticks = list(range(0, n_bins, 5 * -(-n_bins // 20) if n_bins > 5 else 1))
    names = [f"{seconds[tick]:.1f}" for tick in ticks]
    for panel, where in grid:
        cells = rows_of(mine, **where)
        estimate, p = (
            cells[name].to_numpy(float).reshape(n_bins, -1) for name in ("estimate", "p_corrected")
        )
        draw_map(panel, estimate, range(n_bins), (-limit, limit), DIVERGING, p)
        panel.set(aspect="equal", yticks=ticks, yticklabels=names, xticks=ticks, xticklabels=names)
    grid.name_x("judged at (s)")
    grid.bar("probe evidence", shrink=0.6)
    return grid.figure


def _by_layer(title: str, how: str, rows: pd.DataFrame, table: pd.DataFrame, **look) -> Grid:
    """Make a grid with a row per branch of `rows`, or direction, and a column per layer of the table."""
    layers = {"layer": spread_evenly(distinct(table, "layer"))}
    return Grid(
        title, how, {"branch": distinct(rows, "branch")}, layers, tops="layer {}", sharey=True, **look
    )


@styled
def transfer_curves(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the evidence of probes that were fitted in the other branch, by tenth of the clip.

    One row per direction, one column per layer (six at most); filled points are significant.
    """
    mine = rows_of(table, statistic=EVIDENCE, over=WINDOWS)
    mine = mine.iloc[np.flatnonzero(mine["train"].astype(str).str.startswith("decile_"))]
    how = "nothing to transfer"
    if len(mine):
        how = f"{how_tested(mine, marked=f'filled: p ≤ {ALPHA}')}\n{intervals(mine, 'bands')}"
    title = f"Probes of {contrast} fitted in one branch and judged in the other, {model}"
    grid = _by_layer(title, how, mine, table, panel=(1.9, 1.7), sides="{}\nevidence")
    grid.zero()
    for panel, where in grid:
        cells = rows_of(mine, **where)
        cells = cells.assign(tenth=range(1, len(cells) + 1))
        colour = BRANCH_COLOURS[where["branch"].split(" → ")[0]]
        draw_band(panel, cells, "tenth", colour)
        draw_points(panel, cells, "tenth", colour)
    grid.name_x("tenth of the clip", [1, 4, 7, 10])
    return grid.figure

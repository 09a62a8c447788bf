"""Dimensions of each layer that differ between labels, compared with random bases."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from innerear.analyses.dimensions import BEYOND, BY_DIMENSION, ROTATED, TOP
from innerear.figures.drawing.grid import Grid, say_why_not
from innerear.figures.drawing.style import BRANCH_COLOURS, SEQUENTIAL, styled
from innerear.figures.drawing.tables import distinct, how_tested, rows_of
from innerear.statistics.significance import ALPHA

#: dimensions of less selection frequency are not drawn
SHOWN = 0.1


@styled
def draw(table: pd.DataFrame, *, model: str, contrast: str = "") -> dict[str, Figure]:
    """Draw by layer the share of dimensions that differ and the strongest of them, one column per branch.

    Above: the share past F's 5 % point in the model's basis (filled where p ≤ .05 by max-T) and in random
    rotations (band: 95 % of them). Below: the strongest dimensions, as large as they are often among the top
    in bootstraps.
    """
    layers, columns = sorted(distinct(table, "layer")), {"branch": distinct(table, "branch")}
    title = f"Single dimensions of the clip averages that differ, {model}"
    rows, sides = {"row": range(2)}, ["share of dimensions\npast F's 5 % point", "dimension"]
    how = _how_tested(rows_of(table, statistic=BEYOND))
    grid, drawn = Grid(title, how, rows, columns, panel=(3.0, 2.2), sides=sides), None
    for (upper, lower), branch in zip(grid.axes.T, columns["branch"], strict=True):
        of_branch = rows_of(table, branch=branch)
        _draw_share(upper, of_branch.sort_values("layer"), BRANCH_COLOURS.get(branch, "black"))
        drawn = _draw_strongest(lower, rows_of(of_branch, statistic=BY_DIMENSION)) or drawn
        lower.set_xlim(layers[0] - 0.5, layers[-1] + 0.5)
    grid.name_x("layer", layers)
    grid.axes[0, 0].set_ylim(0, 1)
    grid.legend(3)
    if drawn is not None:
        grid.bar("ω²", 1, drawn)
    return {"dimensions": grid.figure}


def _how_tested(table: pd.DataFrame) -> str:
    how = how_tested(table, marked=f"filled: p ≤ {ALPHA}")
    if table["p_corrected"].isna().to_numpy().all():
        n, reason = how.split("; ", 1)
        return f"{n}\n{textwrap.fill(reason, 80)}"
    often = f"how often a dimension is among the {TOP} strongest in bootstraps (size; from {SHOWN:.0%})"
    return f"{how}\nbelow: {often}"


def _draw_share(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    own, rotated = rows_of(rows, statistic=BEYOND), rows_of(rows, statistic=ROTATED)
    band = rotated[["rotated_lo", "rotated_hi"]].to_numpy(float).T
    axes.fill_between(own["layer"], *band, color="0.8", linewidth=0, label="random bases (95 % of them)")
    axes.axhline(ALPHA, color="0.4", linewidth=0.8, linestyle=":", label="if none differs")
    name = "the model's own basis"
    axes.plot(own["layer"], own["estimate"], "o-", color=colour, markerfacecolor="white", label=name)
    found = own[own["p_corrected"] <= ALPHA]
    axes.plot(found["layer"], found["estimate"], "o", color=colour)
    say_why_not(axes, own, 28)


def _draw_strongest(axes: Axes, rows: pd.DataFrame) -> PathCollection | None:
    rows = rows.query("selection_frequency >= @SHOWN")
    if rows.empty:
        return None
    look = {"c": rows["estimate"], "cmap": SEQUENTIAL, "vmin": 0, "vmax": 1, "linewidths": 0}
    return axes.scatter(rows["layer"], rows["dimension"], s=40 * rows["selection_frequency"], **look)

"""Maps and curves of discriminability, and the layers compared."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.best_layers import HELD_OUT, RANK
from innerear.analyses.discriminability import (
    AUC,
    CONCORDANCE,
    DISPERSION,
    DISTANCE,
    EVIDENCE,
    RATING_DISPERSION,
)
from innerear.figures.drawing.grid import Grid, draw_band
from innerear.figures.drawing.maps import Steps, draw_estimates
from innerear.figures.drawing.style import BRANCH_COLOURS, BRANCHES, DIVERGING, SEQUENTIAL, styled
from innerear.figures.drawing.tables import distinct, how_tested, largest, n_and_bands, rows_of, spread_evenly

_UNITS = {
    DISTANCE: "distance²\n÷ variance",
    DISPERSION: "dispersion,\nlargest ÷ smallest",
    RATING_DISPERSION: "dispersion,\nshare explained",
    EVIDENCE: "probe\nevidence",
    AUC: "macro AUC",
    CONCORDANCE: "concordance",
}
#: statistics that begin at a value, for scales of one colour
_LOWEST = {DISPERSION: 1, RATING_DISPERSION: 0}
_CHANCE = {AUC: 0.5, CONCORDANCE: 0.5}


def draw(table: pd.DataFrame, best: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw the figures of `innerear.analyses.discriminability`; `best` is from `best_layers`."""
    return {
        "discriminability_maps": discriminability_maps(table, model=model, contrast=contrast),
        "discriminability_curves": discriminability_curves(table, model=model, contrast=contrast),
        "layer_ranks": layer_ranks(table, best, model=model, contrast=contrast),
    }


@styled
def discriminability_maps(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw distance, dispersion and probe evidence, layer × step; what is not significant is hatched.

    One row per statistic, each with a colour scale of its own, one column per branch.
    """
    table = rows_of(table, over="steps", statistic=[DISTANCE, DISPERSION, RATING_DISPERSION, EVIDENCE])
    steps, layers, names = Steps.of(table), sorted(distinct(table, "layer")), _present(table)
    title = f"How far apart {contrast} lies in the layers, {model}"
    rows, columns = {"statistic": names}, {"branch": distinct(table, "branch")}
    grid = Grid(title, how_tested(table), rows, columns, panel=(3.3, 1.8), sides=["layer"] * len(names))
    for panel, where in grid:
        limit = largest(rows_of(table, statistic=where["statistic"]), share=0.995)
        lowest, colours = _LOWEST.get(where["statistic"], -limit), DIVERGING
        colours = SEQUENTIAL if where["statistic"] in _LOWEST else colours
        draw_estimates(panel, rows_of(table, **where), layers, steps, (lowest, limit), colours)
    for row, name in enumerate(names):
        grid.bar(_UNITS[name], row)
    grid.step_axis(steps)
    return grid.figure


def _present(table: pd.DataFrame) -> list[str]:
    return [name for name in _UNITS if name in distinct(table, "statistic")]


@styled
def discriminability_curves(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw distance, probe evidence and AUC over the steps with bootstrap bands, one colour per layer.

    One row per statistic, one column per branch; six layers at most, spread evenly.
    """
    table = rows_of(table, over="steps")
    n, layers = n_and_bands(table), spread_evenly(distinct(table, "layer"))
    table = rows_of(table, statistic=[DISTANCE, EVIDENCE, AUC, CONCORDANCE])
    title = f"How far apart {contrast} lies in the layers over the steps, {model}"
    names, columns = _present(table), {"branch": distinct(table, "branch")}
    units = [_UNITS[name] for name in names]
    grid = Grid(title, n, {"statistic": names}, columns, panel=(3.3, 1.9), sides=units)
    shades = matplotlib.colormaps[SEQUENTIAL](np.linspace(0, 0.9, len(layers)))
    for row, name in enumerate(names):
        grid.zero(_CHANCE.get(name, 0), row)
    for panel, where in grid:
        for layer, shade in zip(layers, shades, strict=True):
            draw_band(panel, rows_of(table, layer=layer, **where), "step", shade, label=f"layer {layer}")
    grid.step_axis(Steps.of(table))
    grid.legend(6)
    return grid.figure


@styled
def layer_ranks(table: pd.DataFrame, best: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the layers' distance over the whole clip, and below it the interval of their ranks, by branch.

    The held-out confirmation stands in each title.
    """
    table = rows_of(table, window="whole", statistic=DISTANCE)
    branches, n_perm = distinct(table, "branch"), best["n_perm"].to_numpy(int).max()
    tested = f"; confirmation: {n_perm} permutations, corrected over branches" if n_perm else ""
    title = f"Which layer distinguishes {contrast} best? {model}, whole clip"
    n = n_and_bands(table, "bars") + tested
    tops = [f"{BRANCHES.get(branch, branch)}\n{_confirmation(best, branch)}" for branch in branches]
    rows, sides = {"statistic": [DISTANCE, RANK]}, [_UNITS[DISTANCE], "rank (1 is best)"]
    grid = Grid(title, n, rows, {"branch": branches}, panel=(3.2, 1.9), sides=sides, tops=tops)
    for panel, where in grid:
        distance = where["statistic"] == DISTANCE
        colour = BRANCH_COLOURS.get(where["branch"], "0.3") if distance else "#000000"
        _bars(panel, rows_of(table if distance else best, **where), colour)
    grid.zero(row=0)
    grid.name_x("layer", distinct(table, "layer"))
    grid.axes[1, 0].invert_yaxis()
    return grid.figure


def _bars(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    layer, estimate = rows["layer"].to_numpy(int), rows["estimate"].to_numpy(float)
    ends = np.abs(rows[["ci_lo", "ci_hi"]].to_numpy(float).T - estimate)
    axes.errorbar(layer, estimate, ends, fmt="o", markersize=3, color=colour, linewidth=1)


def _confirmation(best: pd.DataFrame, branch: str) -> str:
    row = rows_of(best, branch=branch, statistic=HELD_OUT).iloc[0]
    if not np.isfinite(row["p_corrected"]):
        return "best layer not confirmed"
    return f"chosen layer, held out: {row['estimate']:.3f}, p = {row['p_corrected']:.3f}"

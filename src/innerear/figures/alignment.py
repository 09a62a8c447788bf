"""Debiased CKA between layers and between moments, with its noise ceiling."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.alignment import ACROSS, ITSELF, OVER_LAYERS, OVER_TIME, SAME
from innerear.figures.drawing.grid import Grid
from innerear.figures.drawing.style import SEQUENTIAL, styled
from innerear.figures.drawing.tables import distinct, n_prompts, rows_of, spread_evenly

MAX_LAYERS = 4
_HOW = "below the diagonal: same seeds; above: across seed halves,\nwhose diagonal is the noise ceiling"


def draw(table: pd.DataFrame, *, model: str, contrast: str = "") -> dict[str, Figure]:
    """Draw the figures of `innerear.analyses.alignment`; nothing here is of the contrast."""
    return {
        "alignment_layers": layer_alignment(table, model=model),
        "alignment_time": time_alignment(table, model=model),
    }


@styled
def layer_alignment(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw debiased CKA, layer × layer, one panel per branch.

    Below the diagonal the same seeds, above it and on it across seed halves.
    """
    table = rows_of(table, statistic=[OVER_LAYERS, OVER_LAYERS + ITSELF])
    layers, columns = sorted(distinct(table, "layer")), {"branch": distinct(table, "branch")}
    title, how = f"Layer × layer, debiased CKA, {model}", f"{n_prompts(table)}; mean over time bins; {_HOW}"
    grid = Grid(title, how, {"row": ["layer"]}, columns, panel=(2.9, 2.7))
    for panel, where in grid:
        values = _both(rows_of(table, branch=where["branch"]), "layer", layers)
        _draw(panel, values, [str(layer) for layer in layers], at_most=12, numbers=len(layers) <= 8)
    grid.name_x("layer")
    grid.bar("debiased CKA")
    return grid.figure


@styled
def time_alignment(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw debiased CKA, time bin × time bin.

    One row per branch, one column per layer (four at most, spread evenly).
    """
    table = rows_of(table, statistic=[OVER_TIME, OVER_TIME + ITSELF])
    layers, branches = spread_evenly(distinct(table, "layer"), MAX_LAYERS), distinct(table, "branch")
    seconds = dict(sorted(zip(table["bin"].tolist(), table["seconds"].tolist(), strict=True)))
    title = f"Time × time, debiased CKA, {model}"
    how = f"{n_prompts(table)}; {len(seconds)} time bins; {_HOW}"
    look = {"panel": (2.2, 2.0), "sides": "seconds", "sharey": True}
    grid = Grid(title, how, {"branch": branches}, {"layer": layers}, **look)
    for panel, where in grid:
        values = _both(rows_of(table, **where), "bin", list(seconds))
        _draw(panel, values, [f"{one:.1f}" for one in seconds.values()], at_most=4)
        panel.set_title("{branch}, layer {layer}".format(**where))
    grid.name_x("seconds")
    grid.bar("debiased CKA")
    return grid.figure


def _both(table: pd.DataFrame, axis: str, cells: list) -> np.ndarray:
    """Lay both comparisons out in one matrix: row > column the same seeds, else across seed halves."""
    place = pd.Index(cells)
    values = np.full((len(cells), len(cells)), np.nan)
    for samples in (SAME, ACROSS):
        rows = rows_of(table, samples=samples)
        first, second = (place.get_indexer(rows[name].tolist()) for name in (axis, f"{axis}_2"))
        # The diagonal is written twice: of the same seeds it is 1 and says nothing.
        where = (second, first) if samples == SAME else (first, second)
        values[where] = rows["estimate"].to_numpy(float)
    return values


def _draw(axes: Axes, values: np.ndarray, names: list[str], *, at_most: int, numbers: bool = False) -> None:
    """Draw a matrix [n, n], and some of the names of its rows and columns."""
    axes.imshow(values, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_facecolor("0.9")
    shown = spread_evenly(range(len(names)), at_most)
    axes.set_xticks(shown, [names[i] for i in shown])
    axes.set_yticks(shown, [names[i] for i in shown])
    for row, column in np.argwhere(np.isfinite(values)) if numbers else ():
        value = values[row, column]
        text, colour = f"{value:.2f}".removeprefix("0"), "black" if value > 0.6 else "white"
        axes.text(column, row, text, color=colour, ha="center", va="center", fontsize=7)

"""Which layers, and which moments, arrange the samples alike: debiased CKA and its noise ceiling."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.alignment import ACROSS, OVER_LAYERS, OVER_TIME, SAME
from innerear.figures.maps import distinct, name_grid, rows_of, spread_evenly
from innerear.figures.style import SEQUENTIAL, new_figure, styled

MAX_LAYERS = 4
_HOW = "below the diagonal: same samples; above: across seed halves,\nwhose diagonal is the noise ceiling"


def draw(table: pd.DataFrame, *, model: str, contrast: str = "") -> dict[str, Figure]:
    """Draw all figures of `innerear.analyses.alignment`, by file name.

    Parameters
    ----------
    table : rows of `alignment`.
    model : for the titles; nothing here is of the contrast.
    """
    return {
        "alignment_layers": layer_alignment(table, model=model),
        "alignment_time": time_alignment(table, model=model),
    }


@styled
def layer_alignment(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw debiased CKA, layer × layer, one panel per branch.

    Returns
    -------
    Below the diagonal the same samples, above it and on it across seed halves.
    """
    table = rows_of(table, statistic=OVER_LAYERS)
    layers, branches = sorted(distinct(table, "layer")), distinct(table, "branch")
    figure, axes = new_figure(
        1,
        len(branches),
        title=f"Layer × layer, debiased CKA, {model}",
        subtitle=f"n: {distinct(table, 'n_prompts')[0]} prompts; mean over time bins; {_HOW}",
        panel=(2.9, 2.7),
        sharey=True,
    )
    for panel, branch in zip(axes[0], branches, strict=True):
        values = _both(rows_of(table, branch=branch), "layer", layers)
        _draw(panel, values, [str(layer) for layer in layers], at_most=12, numbers=len(layers) <= 8)
        panel.set_xlabel("layer")
    name_grid(axes, branches, ["layer"])
    figure.colorbar(axes[0, 0].images[0], ax=axes, label="debiased CKA", pad=0.01)
    return figure


@styled
def time_alignment(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw debiased CKA, time bin × time bin.

    Returns
    -------
    One row per branch, one column per layer (four at most, spread evenly).
    """
    table = rows_of(table, statistic=OVER_TIME)
    layers, branches = spread_evenly(distinct(table, "layer"), MAX_LAYERS), distinct(table, "branch")
    bins = sorted(distinct(table, "bin"))
    seconds = dict(zip(table["bin"].tolist(), table["seconds"].tolist(), strict=True))
    figure, axes = new_figure(
        len(branches),
        len(layers),
        title=f"Time × time, debiased CKA, {model}",
        subtitle=f"n: {distinct(table, 'n_prompts')[0]} prompts; {len(bins)} time bins; {_HOW}",
        panel=(2.2, 2.0),
        sharex=True,
        sharey=True,
    )
    for row, branch in zip(axes, branches, strict=True):
        for panel, layer in zip(row, layers, strict=True):
            values = _both(rows_of(table, branch=branch, layer=layer), "bin", bins)
            _draw(panel, values, [f"{seconds[one]:.1f}" for one in bins], at_most=4)
            panel.set_title(f"{branch}, layer {layer}")
        row[0].set_ylabel("seconds")
    for panel in axes[-1]:
        panel.set_xlabel("seconds")
    figure.colorbar(axes[0, 0].images[0], ax=axes, label="debiased CKA", pad=0.01)
    return figure


def _both(table: pd.DataFrame, axis: str, cells: list) -> np.ndarray:
    """Lay both comparisons out in one matrix: row > column the same samples, else across seed halves."""
    place = {cell: i for i, cell in enumerate(cells)}
    values = np.full((len(cells), len(cells)), np.nan)
    for samples in (SAME, ACROSS):
        rows = rows_of(table, samples=samples)
        first = [place[cell] for cell in rows[axis].tolist()]
        second = [place[cell] for cell in rows[f"{axis}_2"].tolist()]
        # The diagonal is written twice: of the same samples it is 1 and says nothing.
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

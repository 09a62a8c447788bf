"""Which layers, and which moments, arrange the samples alike: debiased CKA beside its noise ceiling."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from innerear.analyses.alignment import ACROSS, OVER_LAYERS, OVER_TIME, SAME
from innerear.figures.maps import distinct, rows_of, spread_evenly
from innerear.figures.style import BRANCHES, SEQUENTIAL, new_figure, styled

MAX_LAYERS = 4
_HOW = "below the diagonal: same samples; above: across seed halves,\nwhose diagonal is the noise ceiling"


@styled
def layer_alignment(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw debiased CKA, layer × layer, one panel per branch.

    Parameters
    ----------
    table : rows of `alignment`.
    model : for the title.

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
    images = []
    for column, branch in enumerate(branches):
        panel, rows = axes[0, column], rows_of(table, branch=branch)
        images.append(_draw(panel, _both(rows, "layer", layers), numbers=len(layers) <= 8))
        shown = spread_evenly(range(len(layers)), 12)
        panel.set_xticks(shown, [str(layers[i]) for i in shown])
        panel.set_yticks(shown, [str(layers[i]) for i in shown])
        panel.set_xlabel("layer")
        panel.set_title(BRANCHES.get(branch, branch))
    axes[0, 0].set_ylabel("layer")
    figure.colorbar(images[0], ax=axes, label="debiased CKA", pad=0.01)
    return figure


@styled
def time_alignment(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw debiased CKA, time bin × time bin.

    Parameters
    ----------
    table : rows of `alignment`.
    model : for the title.

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
    images = []
    for row, branch in enumerate(branches):
        for column, layer in enumerate(layers):
            panel = axes[row, column]
            images.append(_draw(panel, _both(rows_of(table, branch=branch, layer=layer), "bin", bins)))
            shown = spread_evenly(range(len(bins)), 4)
            panel.set_xticks(shown, [f"{seconds[bins[i]]:.1f}" for i in shown])
            panel.set_yticks(shown, [f"{seconds[bins[i]]:.1f}" for i in shown])
            panel.set_title(f"{branch}, layer {layer}")
            if row == len(branches) - 1:
                panel.set_xlabel("seconds")
            if column == 0:
                panel.set_ylabel("seconds")
    figure.colorbar(images[0], ax=axes, label="debiased CKA", pad=0.01)
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


def _draw(axes: Axes, values: np.ndarray, *, numbers: bool = False) -> AxesImage:
    image = axes.imshow(values, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_facecolor("0.9")
    if numbers:
        for row, column in np.argwhere(np.isfinite(values)):
            value = values[row, column]
            axes.text(
                column,
                row,
                f"{value:.2f}".removeprefix("0"),
                color="black" if value > 0.6 else "white",
                ha="center",
                va="center",
                fontsize=7,
            )
    return image

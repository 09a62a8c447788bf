"""How many dimensions of each layer differ between labels, which, and what a random basis would give."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from innerear.analyses.dimensions import BEYOND, BY_DIMENSION, ROTATED, TOP
from innerear.figures.maps import distinct, how_tested, name_grid, rows_of, spread_evenly, why_not_tested
from innerear.figures.style import BRANCH_COLOURS, SEQUENTIAL, new_figure, styled
from innerear.statistics.significance import ALPHA

#: dimensions of less selection frequency are not drawn
SHOWN = 0.1


@styled
def draw(table: pd.DataFrame, *, model: str, contrast: str = "") -> dict[str, Figure]:
    """Draw the share of dimensions that differ, by layer, and which dimensions are the strongest.

    Parameters
    ----------
    table : the map of all layers.
    model : for the title.

    Returns
    -------
    ``dimensions``: one column per branch. Above: the share past F's 5 % point in the model's basis (filled
    where p ≤ .05 by max-T) and in random rotations (band: 95 % of them). Below: the strongest dimensions, as
    large as they are often among the top in bootstraps.
    """
    layers, branches = sorted(distinct(table, "layer")), distinct(table, "branch")
    figure, axes = new_figure(
        2,
        len(branches),
        title=f"Single dimensions of the clip averages that differ, {model}",
        subtitle=_how_tested(rows_of(table, statistic=BEYOND)),
        panel=(3.0, 2.2),
        sharex=True,
        sharey="row",
    )
    image, shown = None, spread_evenly(layers, 12)
    for column, branch in enumerate(branches):
        rows = rows_of(table, branch=branch)
        _draw_share(axes[0, column], rows, BRANCH_COLOURS.get(branch, "black"))
        image = _draw_strongest(axes[1, column], rows_of(rows, statistic=BY_DIMENSION)) or image
        axes[1, column].set_xlabel("layer")
        axes[1, column].set_xticks(shown, [str(layer) for layer in shown])
        axes[1, column].set_xlim(layers[0] - 0.5, layers[-1] + 0.5)
    axes[0, 0].set_ylim(0, 1)
    name_grid(axes, branches, ["share of dimensions\npast F's 5 % point", "dimension"])
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    if image is not None:
        figure.colorbar(image, ax=axes[1], label="ω²", pad=0.01)
    return {"dimensions": figure}


def _how_tested(table: pd.DataFrame) -> str:
    if not np.isfinite(table["p_corrected"].to_numpy(float)).any():
        n, reason = how_tested(table).split("; ", 1)
        return f"{n}\n{textwrap.fill(reason, 80)}"
    how = how_tested(table, marked=f"filled: p ≤ {ALPHA}")
    return (
        f"{how}\nbelow: how often a dimension is among the {TOP} strongest in bootstraps "
        f"(size; from {SHOWN:.0%})"
    )


def _draw_share(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    own = rows_of(rows, statistic=BEYOND).sort_values("layer")
    rotated = rows_of(rows, statistic=ROTATED).sort_values("layer")
    layer, share = own["layer"].to_numpy(int), own["estimate"].to_numpy(float)
    low, high = (rotated[name].to_numpy(float) for name in ("rotated_lo", "rotated_hi"))
    axes.fill_between(layer, low, high, color="0.8", linewidth=0, label="random bases (95 % of them)")
    axes.axhline(ALPHA, color="0.4", linewidth=0.8, linestyle=":", label="if none differs")
    found = own["p_corrected"].to_numpy(float) <= ALPHA
    axes.plot(layer, share, "o-", color=colour, markerfacecolor="white", label="the model's own basis")
    axes.plot(layer[found], share[found], "o", color=colour)
    if not np.isfinite(share).any():
        reason = textwrap.fill(why_not_tested(own), 28)
        axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", fontsize=8)


def _draw_strongest(axes: Axes, rows: pd.DataFrame) -> PathCollection | None:
    rows = rows.iloc[np.flatnonzero(rows["selection_frequency"].to_numpy(float) >= SHOWN)]
    if rows.empty:
        return None
    layer, dimension, frequency, omega2 = (
        rows[name].to_numpy(float) for name in ("layer", "dimension", "selection_frequency", "estimate")
    )
    return axes.scatter(
        layer, dimension, s=40 * frequency, c=omega2, cmap=SEQUENTIAL, vmin=0, vmax=1, linewidths=0
    )

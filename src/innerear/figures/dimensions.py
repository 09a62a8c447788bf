"""How many dimensions of each layer differ between labels, which, and what a random basis would give."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.dimensions import ALPHA, BEYOND, BY_DIMENSION, ROTATED, TOP
from innerear.figures.maps import distinct, rows_of, spread_evenly, why_not_tested
from innerear.figures.style import BRANCHES, SEQUENTIAL, new_figure, styled

#: dimensions of less selection frequency are not drawn
SHOWN = 0.1


@styled
def dimension_shares(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw the share of dimensions that differ, by layer, and which dimensions are the strongest.

    Parameters
    ----------
    table : rows of `dimensions_map`.
    model : for the title.

    Returns
    -------
    One column per branch. Above: the share past F's 5 % point in the model's basis (filled where
    p ≤ .05 by max-T) and in random rotations (band: 95 % of them). Below: the strongest dimensions, as
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
    image = None
    for column, branch in enumerate(branches):
        rows = rows_of(table, branch=branch)
        _draw_share(axes[0, column], rows, label=column == 0)
        image = _draw_strongest(axes[1, column], rows_of(rows, statistic=BY_DIMENSION)) or image
        axes[0, column].set_title(BRANCHES.get(branch, branch))
        axes[1, column].set_xlabel("layer")
        shown = spread_evenly(layers, 12)
        axes[1, column].set_xticks(shown, [str(layer) for layer in shown])
        axes[1, column].set_xlim(layers[0] - 0.5, layers[-1] + 0.5)
    axes[0, 0].set_ylim(0, 1)
    axes[0, 0].set_ylabel("share of dimensions\npast F's 5 % point")
    axes[1, 0].set_ylabel("dimension")
    figure.legend(loc="outside lower center", ncols=3)
    if image is not None:
        figure.colorbar(image, ax=axes[1], label="ω²", pad=0.01)
    return figure


def _how_tested(table: pd.DataFrame) -> str:
    tested = table.iloc[np.flatnonzero(np.isfinite(table["p_corrected"].to_numpy(float)))]
    n = f"n: {distinct(table, 'n_prompts')[0]} prompts"
    if tested.empty:
        return f"{n}\n" + textwrap.fill(f"not tested ({why_not_tested(table)})", 80)
    return (
        f"{n}; {distinct(tested, 'n_perm')[0]} permutations, smallest p {distinct(tested, 'min_p')[0]:.2g}; "
        f"filled: p ≤ {ALPHA} by max-T over {distinct(tested, 'family')[0]}\n"
        f"below: how often a dimension is among the {TOP} strongest in bootstraps (size; from {SHOWN:.0%})"
    )


def _draw_share(axes: Axes, rows: pd.DataFrame, *, label: bool) -> None:
    def named(text: str) -> str | None:
        return text if label else None

    own = rows_of(rows, statistic=BEYOND).sort_values("layer")
    rotated = rows_of(rows, statistic=ROTATED).sort_values("layer")
    layer, share = own["layer"].to_numpy(int), own["estimate"].to_numpy(float)
    low, high = (rotated[name].to_numpy(float) for name in ("rotated_lo", "rotated_hi"))
    axes.fill_between(layer, low, high, color="0.8", linewidth=0, label=named("random bases (95 % of them)"))
    axes.axhline(ALPHA, color="0.4", linewidth=0.8, linestyle=":", label=named("if none differs"))
    significant = own["p_corrected"].to_numpy(float) <= ALPHA
    axes.plot(
        layer, share, "o-", color="#D55E00", markerfacecolor="white", label=named("the model's own basis")
    )
    axes.plot(layer[significant], share[significant], "o", color="#D55E00")
    if not np.isfinite(share).any():
        reason = textwrap.fill(why_not_tested(own), 28)
        axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", fontsize=8)


def _draw_strongest(axes: Axes, rows: pd.DataFrame):
    frequency = rows["selection_frequency"].to_numpy(float)
    rows = rows.iloc[np.flatnonzero(frequency >= SHOWN)]
    if rows.empty:
        return None
    return axes.scatter(
        rows["layer"].to_numpy(int),
        rows["dimension"].to_numpy(float),
        s=40 * rows["selection_frequency"].to_numpy(float),
        c=rows["estimate"].to_numpy(float),
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=1,
        linewidths=0,
    )

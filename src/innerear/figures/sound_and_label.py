"""How much of the states label and sound explain, layer by layer."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from innerear.analyses.sound_and_label import BEYOND_LABEL, BOTH, LABEL, SOUND
from innerear.figures.maps import distinct, rows_of, why_not_tested
from innerear.figures.style import BRANCHES, new_figure, styled

ALPHA = 0.05
_STYLES = {
    LABEL: ("label", "#0072B2", "o"),
    SOUND: ("sound", "#E69F00", "s"),
    BOTH: ("label and sound", "black", ""),
    BEYOND_LABEL: ("sound beyond the label", "#D55E00", "D"),
}
_WINDOWS = {"whole": "whole clip", "first_10": "first tenth", "last_10": "last tenth"}


@styled
def shares(table: pd.DataFrame, dimensions: pd.DataFrame, *, model: str) -> Figure:
    """Draw R² by layer, a row per window and a column per branch; below, the share of dimensions.

    Parameters
    ----------
    table : rows of `nested_map`.
    dimensions : rows of all layers' `LayerNested.dimensions`.
    model : for the title.

    Returns
    -------
    Filled marks: p ≤ .05 by max-T over layers × branches × windows.
    """
    branches, windows = distinct(table, "branch"), distinct(table, "window")
    figure, axes = new_figure(
        len(windows) + 1,
        len(branches),
        title=f"States of {model} explained by the label and by the sound of the clip",
        subtitle=_how_tested(table),
        panel=(2.5, 1.5),
        sharex=True,
        sharey="row",
    )
    for column, branch in enumerate(branches):
        for row, window in enumerate(windows):
            _draw(axes[row, column], rows_of(table, branch=branch, window=window))
            axes[row, 0].set_ylabel(f"{_WINDOWS.get(window, window)}\nheld-out R²")
        _draw_dimensions(axes[-1, column], rows_of(dimensions, branch=branch))
        axes[0, column].set_title(BRANCHES.get(branch, branch))
        axes[-1, column].set_xlabel("layer")
        axes[-1, column].set_xticks(sorted(distinct(table, "layer")))
    axes[-1, 0].set_ylabel("dimensions the\nsound predicts (%)")
    handles = [
        Line2D([], [], color=colour, marker=mark, markersize=4, label=name)
        for name, colour, mark in _STYLES.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    axes.axhline(0, color="0.7", linewidth=0.8)
    for statistic, (_, colour, mark) in _STYLES.items():
        line = rows_of(rows, statistic=statistic).sort_values("layer")
        layer, r2, low, high, p = (
            line[name].to_numpy(float) for name in ("layer", "estimate", "ci_lo", "ci_hi", "p_corrected")
        )
        if statistic != BOTH:
            axes.fill_between(layer, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(layer, r2, color=colour, linewidth=1, linestyle=":" if statistic == BOTH else "-")
        for chosen, face in ((p <= ALPHA, colour), (p > ALPHA, "white")):
            axes.plot(
                layer[chosen], r2[chosen], mark or "none", color=colour, markerfacecolor=face, markersize=4
            )


def _draw_dimensions(axes: Axes, rows: pd.DataFrame) -> None:
    layers = sorted(distinct(rows, "layer"))
    of = [rows_of(rows, layer=layer)["p_corrected"].to_numpy(float) for layer in layers]
    percent = [100 * float(np.mean(p <= ALPHA)) if np.isfinite(p).any() else np.nan for p in of]
    axes.plot(layers, np.array(percent), "o-", color="black", markersize=4, linewidth=1)
    axes.set_ylim(-5, 105)


def _how_tested(table: pd.DataFrame) -> str:
    tested = table.iloc[np.flatnonzero(np.isfinite(table["p_corrected"].to_numpy(float)))]
    n = f"n: {distinct(table, 'n_prompts')[0]} prompts; folds of whole templates or prompts"
    if tested.empty:
        return f"{n}; not tested ({why_not_tested(table)})"
    return (
        f"{n}; {distinct(tested, 'n_perm')[0]} permutations, smallest p {tested['min_p'].min():.2g}\n"
        f"filled: p ≤ {ALPHA} by max-T over {distinct(tested, 'family')[0]}; bands: 95 %"
    )

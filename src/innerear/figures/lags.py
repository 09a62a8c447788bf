"""States and sound over time: one curve over lags per layer, branch and feature."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from innerear.figures.maps import distinct, rows_of, spread_evenly, why_not_tested
from innerear.figures.style import BRANCHES, SEQUENTIAL, new_figure, styled

ALPHA = 0.05
MAX_LAYERS = 8


@styled
def lag_curves(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw held-out correlation over lags, a row per feature, a column per branch, a line per layer.

    Parameters
    ----------
    table : rows of `lags_map`.
    model : for the title.

    Returns
    -------
    A line is thick where p ≤ .05 by max-T over the whole map; a dot marks the peak of each line that is
    significant somewhere. At most 8 layers are drawn, spread evenly.
    """
    branches, features = distinct(table, "branch"), distinct(table, "feature")
    layers = spread_evenly(distinct(table, "layer"), MAX_LAYERS)
    figure, axes = new_figure(
        len(features),
        len(branches),
        title=f"States of {model} and the sound before and after",
        subtitle=_how_tested(table),
        panel=(2.5, 1.25),
        sharex=True,
        sharey="row",
    )
    # The lightest end of the scale is hard to see on white.
    scale = Normalize(layers[0], max(layers[-1], layers[0] + 1) * 1.15)
    colours = {layer: matplotlib.colormaps[SEQUENTIAL](scale(layer)) for layer in layers}
    for row, feature in enumerate(features):
        for column, branch in enumerate(branches):
            panel = axes[row, column]
            _draw(panel, rows_of(table, branch=branch, feature=feature), colours)
            if row == 0:
                panel.set_title(BRANCHES.get(branch, branch))
        axes[row, 0].set_ylabel(feature.replace("_", " ") + "\nr")
    figure.supxlabel("sound earlier ← lag (frames) → sound later", fontsize=9)
    mappable = ScalarMappable(Normalize(layers[0] - 0.5, layers[-1] + 0.5), matplotlib.colormaps[SEQUENTIAL])
    mappable.set_norm(scale)
    bar = figure.colorbar(mappable, ax=axes, label="layer", shrink=0.5, pad=0.01, ticks=layers)
    bar.ax.set_ylim(layers[0], max(layers[-1], layers[0] + 1))
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, colours: dict) -> None:
    axes.axvline(0, color="0.7", linewidth=0.8)
    axes.axhline(0, color="0.7", linewidth=0.8)
    if not np.isfinite(rows["estimate"].to_numpy(float)).any():
        why = str(rows["null"].iloc[0]).removeprefix("none: ")
        axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", fontsize=6.5, wrap=True)
        return
    for layer, colour in colours.items():
        line = rows_of(rows, layer=layer).sort_values("lag")
        lag, r, p = (line[name].to_numpy(float) for name in ("lag", "estimate", "p_corrected"))
        axes.plot(lag, r, color=colour, linewidth=0.7)
        axes.plot(lag, np.where(p <= ALPHA, r, np.nan), color=colour, linewidth=2)
        if (p <= ALPHA).any():
            axes.plot(lag[np.argmax(r)], r.max(), "o", color=colour, markersize=3.5)


def _how_tested(table: pd.DataFrame) -> str:
    tested = table.iloc[np.flatnonzero(np.isfinite(table["p_corrected"].to_numpy(float)))]
    n = f"n: {distinct(table, 'n_prompts')[0]} prompts"
    if tested.empty:
        return f"{n}; not tested ({why_not_tested(table)})"
    return (
        f"{n}; {distinct(tested, 'n_perm')[0]} pairings with the sound of other prompts, "
        f"smallest p {distinct(tested, 'min_p')[0]:.2g}\n"
        f"thick: p ≤ {ALPHA} by max-T over {distinct(tested, 'family')[0]}; dot: the peak"
    )

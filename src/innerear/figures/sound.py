"""Which layer predicts which acoustic feature of held-out clips."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from innerear.acoustics.features import feature_label
from innerear.analyses.sound import BEYOND, HELD_OUT
from innerear.figures.maps import distinct, how_tested, rows_of, spread_evenly
from innerear.figures.style import BRANCHES, SEQUENTIAL, new_figure, styled
from innerear.statistics.significance import ALPHA

_TITLES = {
    HELD_OUT: "Clip acoustics predicted from the states of {model}",
    BEYOND: "Clip acoustics in the states of {model}, beyond the {contrast}",
}
_SCALES = {
    HELD_OUT: "held-out R² (0 = the training mean)",
    BEYOND: "R² of {contrast} and states − R² of the {contrast}",
}


def draw(table: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw the figures of `innerear.analyses.sound` by file name, from the map of all layers."""
    words = {"model": model, "contrast": contrast}
    return {"sound": r2_map(table, HELD_OUT, **words), "sound_beyond": r2_map(table, BEYOND, **words)}


@styled
def r2_map(
    table: pd.DataFrame, statistic: str, *, model: str, contrast: str, window: str = "whole"
) -> Figure:
    """Draw R², feature × layer, one column per branch.

    Returns
    -------
    R² below 0 (worse than the training mean) has the colour of 0. A star marks p ≤ .05 by max-T; features
    that could not be used are hatched.
    """
    table = rows_of(table, statistic=statistic, window=window)
    layers, branches = sorted(distinct(table, "layer")), distinct(table, "branch")
    features = distinct(table, "feature")
    estimate = table["estimate"].to_numpy(float)
    top = max(float(np.nanmax(estimate)), 0.1) if np.isfinite(estimate).any() else 1.0
    how = f"{how_tested(table, marked=f'*: p ≤ {ALPHA}')}; folds of whole templates or prompts"
    size = max(1.9, 0.28 * len(layers) + 0.6), 0.17 * len(features) + 0.6
    # Lines short enough for the narrowest figure, of two layers.
    look = {"subtitle": textwrap.fill(how, 60), "panel": size, "sharey": True}
    title = _TITLES[statistic].format(model=model, contrast=contrast)
    figure, axes = new_figure(1, len(branches), title=title, **look)
    image = None
    for panel, branch in zip(axes[0], branches, strict=True):
        image = _draw(panel, rows_of(table, branch=branch), features, layers, top)
        panel.set_title(BRANCHES.get(branch, branch).replace(" (", "\n("), fontsize=8)
    units = dict(zip(table["feature"].tolist(), table["unit"].tolist(), strict=True))
    names = [feature_label(name, units[name]) for name in features]
    axes[0, 0].set_yticks(range(len(features)), names, fontsize=7)
    if image is not None:
        figure.colorbar(
            image, ax=axes, label=_SCALES[statistic].format(contrast=contrast), shrink=0.6, pad=0.01
        )
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, features: list[str], layers: list[int], top: float) -> AxesImage:
    """Draw the map [features, L] of one branch."""
    values, corrected = (
        rows.pivot(index="feature", columns="layer", values=name)
        .reindex(features, columns=layers)
        .to_numpy(float)
        for name in ("estimate", "p_corrected")
    )
    axes.set_facecolor("white")
    image = axes.imshow(
        np.clip(values, 0, None), aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=top, interpolation="nearest"
    )
    for row in np.flatnonzero(np.isnan(values).all(axis=1)):
        axes.axhspan(row - 0.5, row + 0.5, facecolor="white", edgecolor="0.6", hatch="////", linewidth=0)
    for row, layer in np.argwhere(corrected <= ALPHA):
        colour = "black" if values[row, layer] > 0.6 * top else "white"
        axes.text(layer, row + 0.05, "*", color=colour, ha="center", va="center", fontsize=9)
    shown = spread_evenly(range(len(layers)), 12)
    axes.set_xticks(shown, [str(layers[i]) for i in shown])
    axes.set_xlabel("layer")
    return image

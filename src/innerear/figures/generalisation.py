"""Probes judged at other times, and in the other branch, than they were fitted in."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from innerear.analyses.generalisation import EVIDENCE
from innerear.figures.maps import ALPHA, distinct, how_tested, rows_of, spread_evenly
from innerear.figures.style import DIVERGING, new_figure, styled

MAX_LAYERS = 6


@styled
def time_squares(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw held-out evidence, train bin × test bin; max-T significance is outlined.

    Parameters
    ----------
    table : `generalisation_map`.
    model, contrast : for the title.

    Returns
    -------
    One row per branch, one column per layer (six at most, spread evenly).
    """
    mine = rows_of(table, statistic=EVIDENCE, over="bins")
    layers, branches = spread_evenly(distinct(table, "layer"), MAX_LAYERS), distinct(mine, "branch")
    bins = distinct(mine, "train")
    estimates = np.abs(mine["estimate"].to_numpy(float))
    limit = float(max(estimates[np.isfinite(estimates)], default=1.0)) or 1.0
    figure, axes = new_figure(
        max(len(branches), 1),
        len(layers),
        title=f"Probes of {contrast} judged at other times, {model}",
        subtitle=how_tested(mine, marked=f"outlined: p ≤ {ALPHA}") if len(mine) else "no folds are possible",
        panel=(1.9, 1.8),
        sharex=True,
        sharey=True,
    )
    image = None
    for row, branch in enumerate(branches):
        for column, layer in enumerate(layers):
            panel, cells = axes[row, column], rows_of(mine, branch=branch, layer=layer)
            square = cells["estimate"].to_numpy(float).reshape(len(bins), len(bins))
            image = panel.imshow(square, origin="lower", cmap=DIVERGING, vmin=-limit, vmax=limit)
            found = cells["p_corrected"].to_numpy(float).reshape(square.shape) <= ALPHA
            _outline(panel, found)
            if row == 0:
                panel.set_title(f"layer {layer}")
            if row == len(branches) - 1:
                panel.set_xlabel("judged in bin")
            if column == 0:
                panel.set_ylabel(f"{branch}\nfitted in bin")
    if image is not None:
        figure.colorbar(image, ax=axes, label="probe evidence", shrink=0.6, pad=0.01)
    return figure


def _outline(axes, found: np.ndarray) -> None:
    """Draw the edges between cells that are and cells that are not."""
    padded = np.pad(found.astype(int), 1)
    for row, column in zip(*np.nonzero(np.diff(padded, axis=0)), strict=True):
        axes.plot([column - 1.5, column - 0.5], [row - 0.5] * 2, color="black", linewidth=0.8)
    for row, column in zip(*np.nonzero(np.diff(padded, axis=1)), strict=True):
        axes.plot([column - 0.5] * 2, [row - 1.5, row - 0.5], color="black", linewidth=0.8)


@styled
def transfer_curves(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the evidence of probes that were fitted in the other branch, by tenth of the clip.

    Parameters
    ----------
    table : `generalisation_map`.
    model, contrast : for the title.

    Returns
    -------
    One row per direction, one column per layer (six at most); filled points are significant.
    """
    mine = rows_of(table, statistic=EVIDENCE, over="windows")
    tenths = [str(name).startswith("decile_") for name in mine["train"]]
    mine = mine.iloc[np.flatnonzero(tenths)]
    layers, directions = spread_evenly(distinct(table, "layer"), MAX_LAYERS), distinct(mine, "branch")
    figure, axes = new_figure(
        max(len(directions), 1),
        len(layers),
        title=f"Probes of {contrast} fitted in one branch and judged in the other, {model}",
        subtitle=how_tested(mine, marked=f"filled: p ≤ {ALPHA}") if len(mine) else "nothing to transfer",
        panel=(1.9, 1.7),
        sharex=True,
        sharey=True,
    )
    for row, direction in enumerate(directions):
        for column, layer in enumerate(layers):
            panel, cells = axes[row, column], rows_of(mine, branch=direction, layer=layer)
            x, y = np.arange(1, len(cells) + 1), cells["estimate"].to_numpy(float)
            low, high = cells["ci_lo"].to_numpy(float), cells["ci_hi"].to_numpy(float)
            panel.axhline(0, color="0.6", linewidth=0.6)
            panel.fill_between(x, low, high, color="#0072B2", alpha=0.2, linewidth=0)
            panel.plot(x, y, color="#0072B2", linewidth=0.9)
            filled = np.where(cells["p_corrected"].to_numpy(float) <= ALPHA, "#0072B2", "white")
            panel.scatter(x, y, s=14, c=filled, edgecolors="#0072B2", zorder=3)
            if row == 0:
                panel.set_title(f"layer {layer}")
            if row == len(directions) - 1:
                panel.set_xlabel("tenth of the clip")
            if column == 0:
                panel.set_ylabel(f"{direction}\nevidence")
    return figure

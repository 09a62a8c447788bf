"""Which layer predicts which acoustic feature of the clip, on held-out prompts."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from innerear.analyses.sound import BEYOND, HELD_OUT
from innerear.figures.maps import distinct, rows_of, spread_evenly, why_not_tested
from innerear.figures.style import BRANCHES, SEQUENTIAL, new_figure, styled

ALPHA = 0.05
_TITLES = {
    HELD_OUT: "Clip acoustics predicted from the states of {model}",
    BEYOND: "Clip acoustics in the states of {model}, beyond the label",
}
_SCALES = {
    HELD_OUT: "held-out R² (0 = the training mean)",
    BEYOND: "R² of label and states − R² of the label",
}


@styled
def r2_map(table: pd.DataFrame, *, model: str, statistic: str = HELD_OUT, window: str = "whole") -> Figure:
    """Draw held-out R², feature × layer, one column per branch.

    Parameters
    ----------
    table : rows of `correlation_map`, whose `p_corrected` is over layers × features × branches × windows.
    model : for the title.
    statistic, window : which rows.

    Returns
    -------
    R² below 0 (worse than the training mean) has the colour of 0. A star marks p ≤ .05 by max-T;
    features that could not be used are hatched.
    """
    table = rows_of(table, statistic=statistic, window=window)
    layers, branches = sorted(distinct(table, "layer")), distinct(table, "branch")
    features = distinct(table, "feature")
    estimate = table["estimate"].to_numpy(float)
    top = max(float(np.nanmax(estimate)), 0.1) if np.isfinite(estimate).any() else 1.0
    figure, axes = new_figure(
        1,
        len(branches),
        title=_TITLES[statistic].format(model=model),
        subtitle=_how_tested(table),
        panel=(max(1.9, 0.28 * len(layers) + 0.6), 0.17 * len(features) + 0.6),
        sharey=True,
    )
    image = None
    for column, branch in enumerate(branches):
        panel = axes[0, column]
        rows = rows_of(table, branch=branch)
        values, corrected = (_lay_out(rows, name, features, layers) for name in ("estimate", "p_corrected"))
        panel.set_facecolor("white")
        image = panel.imshow(
            np.clip(values, 0, None),
            aspect="auto",
            cmap=SEQUENTIAL,
            vmin=0,
            vmax=top,
            interpolation="nearest",
        )
        for row in np.flatnonzero(np.isnan(values).all(axis=1)):
            panel.axhspan(row - 0.5, row + 0.5, facecolor="white", edgecolor="0.6", hatch="////", linewidth=0)
        for row, layer in np.argwhere(corrected <= ALPHA):
            colour = "black" if values[row, layer] > 0.6 * top else "white"
            panel.text(layer, row + 0.05, "*", color=colour, ha="center", va="center", fontsize=9)
        shown = spread_evenly(range(len(layers)), 12)
        panel.set_xticks(shown, [str(layers[i]) for i in shown])
        panel.set_xlabel("layer")
        panel.set_title(BRANCHES.get(branch, branch).replace(" (", "\n("), fontsize=8)
    axes[0, 0].set_yticks(range(len(features)), _names(table, features), fontsize=7)
    if image is not None:
        figure.colorbar(image, ax=axes, label=_SCALES[statistic], shrink=0.6, pad=0.01)
    return figure


def _lay_out(table: pd.DataFrame, column: str, features: list[str], layers: list[int]) -> np.ndarray:
    """Lay a column out as [features, L]."""
    values = np.full((len(features), len(layers)), np.nan)
    row, place = {name: i for i, name in enumerate(features)}, {layer: i for i, layer in enumerate(layers)}
    where = (
        [row[name] for name in table["feature"].tolist()],
        [place[layer] for layer in table["layer"].tolist()],
    )
    values[where] = table[column].to_numpy(float)
    return values


def _names(table: pd.DataFrame, features: list[str]) -> list[str]:
    units = dict(zip(table["feature"].tolist(), table["unit"].tolist(), strict=True))
    return [f"{name.replace('_', ' ')}{f' ({units[name]})' if units[name] else ''}" for name in features]


def _how_tested(table: pd.DataFrame) -> str:
    """Lines short enough for the narrowest figure, of two layers."""
    tested = table.iloc[np.flatnonzero(np.isfinite(table["p_corrected"].to_numpy(float)))]
    n = f"n: {distinct(table, 'n_prompts')[0]} prompts; folds of whole templates or prompts"
    if tested.empty:
        return f"{n}\n" + textwrap.fill(f"not tested ({why_not_tested(table)})", 60)
    return (
        f"{n}\n{distinct(tested, 'n_perm')[0]} permutations, smallest p {distinct(tested, 'min_p')[0]:.2g}\n"
        f"*: p ≤ {ALPHA} by max-T over {distinct(tested, 'family')[0]}"
    )

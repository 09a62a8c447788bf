"""Valence and arousal by layer, or why that cannot be asked."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.affect import CROSSED, GRADED, SCALES
from innerear.figures.maps import distinct, rows_of, spread_evenly, why_not_tested
from innerear.figures.style import BRANCH_COLOURS, BRANCHES, new_figure, styled
from innerear.statistics.significance import ALPHA


@styled
def draw(table: pd.DataFrame, *, model: str, contrast: str = "") -> dict[str, Figure]:
    """Draw held-out R² of graded ratings and cross-condition AUC by layer.

    Parameters
    ----------
    table : the map of all layers.
    model : for the title.

    Returns
    -------
    ``affect``: one row per scale; left the R², right the AUC. A panel without a test says why.
    """
    layers = sorted(distinct(table, "layer"))
    figure, axes = new_figure(
        len(SCALES),
        2,
        title=f"Valence and arousal, {model}",
        subtitle=_how_tested(table),
        panel=(3.7, 2.2),
        sharex=True,
    )
    for row, scale in zip(axes, SCALES, strict=True):
        named = f"{scale}\nheld-out R²", "AUC"
        for panel, statistic, name, nothing in zip(row, (GRADED, CROSSED), named, (0, 0.5), strict=True):
            _draw(panel, rows_of(table, target=scale, statistic=statistic))
            panel.set_ylabel(name)
            panel.axhline(nothing, color="0.7", linewidth=0.6, zorder=0)
        row[1].set_ylim(0, 1.02)
    axes[0, 0].set_title("graded ratings")
    axes[0, 1].set_title("learned on two emotions, tested on two others")
    shown = spread_evenly(layers, 12)
    for panel in axes[-1]:
        panel.set_xticks(shown, [str(layer) for layer in shown])
        panel.set_xlabel("layer")
    entries = {
        label: handle
        for panel in axes.flat
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=3)
    return {"affect": figure}


def _how_tested(table: pd.DataFrame) -> str:
    tested = table.iloc[np.flatnonzero(np.isfinite(table["p_corrected"].to_numpy(float)))]
    n = f"n: {distinct(table, 'n_prompts')[0]} prompts"
    if tested.empty:
        return f"{n}; not tested"
    least = ", ".join(
        f"{rows_of(tested, statistic=one)['min_p'].min():.2g} ({one})"
        for one in distinct(tested, "statistic")
    )
    return (
        f"{n}; {distinct(tested, 'n_perm')[0]} permutations, smallest p {least}\n"
        f"filled: p ≤ {ALPHA}, corrected over {distinct(tested, 'family')[0]}"
    )


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    if not np.isfinite(rows["estimate"].to_numpy(float)).any():
        reason = textwrap.fill(why_not_tested(rows), 40)
        axes.text(0.5, 0.75, reason, transform=axes.transAxes, ha="center", va="center", fontsize=7.5)
        return
    for offset, branch in enumerate(distinct(rows, "branch")):
        _draw_curve(axes, rows_of(rows, branch=branch), branch, 0.08 * (offset - 1))
    shown = textwrap.fill("; ".join(distinct(rows.assign(pairing=rows["pairing"].fillna("")), "pairing")), 60)
    axes.text(0.02, 0.03, shown, transform=axes.transAxes, fontsize=7, color="0.3")


def _draw_curve(axes: Axes, rows: pd.DataFrame, branch: str, offset: float) -> None:
    rows = rows.sort_values("layer")
    colour = BRANCH_COLOURS.get(branch, "black")
    x, y = rows["layer"].to_numpy(float) + offset, rows["estimate"].to_numpy(float)
    low, high = (rows[name].to_numpy(float) for name in ("ci_lo", "ci_hi"))
    axes.vlines(x, low, high, color=colour, linewidth=0.8, alpha=0.6)
    look = {"markersize": 4, "markerfacecolor": "white", "label": BRANCHES.get(branch, branch)}
    axes.plot(x, y, "o-", color=colour, **look)
    found = rows["p_corrected"].to_numpy(float) <= ALPHA
    axes.plot(x[found], y[found], "o", color=colour, markersize=4)

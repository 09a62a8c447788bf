"""What each layer knows of valence and arousal, or why that cannot be asked."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.affect import CROSSED, GRADED, SCALES
from innerear.figures.maps import distinct, rows_of, spread_evenly, why_not_tested
from innerear.figures.style import BRANCHES, new_figure, styled

ALPHA = 0.05
_COLOURS = {"cond": "#D55E00", "uncond": "#0072B2", "delta": "#009E73"}


@styled
def affect_curves(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw held-out R² of graded ratings and cross-condition AUC by layer.

    Parameters
    ----------
    table : rows of `affect_map`.
    model : for the title.

    Returns
    -------
    One row per scale; left the R², right the AUC of each pairing. A panel without a test says why.
    """
    figure, axes = new_figure(
        len(SCALES),
        2,
        title=f"Valence and arousal, {model}",
        subtitle=_how_tested(table),
        panel=(3.7, 2.2),
        sharex=True,
    )
    layers = sorted(distinct(table, "layer"))
    for row, scale in enumerate(SCALES):
        graded, crossed = axes[row]
        rows = rows_of(table, target=scale)
        _draw(graded, rows_of(rows, statistic=GRADED))
        _draw(crossed, rows_of(rows, statistic=CROSSED))
        graded.set_ylabel(f"{scale}\nheld-out R²")
        crossed.set_ylabel("AUC")
        crossed.set_ylim(0, 1.02)
        graded.axhline(0, color="0.7", linewidth=0.6, zorder=0)
        crossed.axhline(0.5, color="0.7", linewidth=0.6, zorder=0)
    axes[0, 0].set_title("graded ratings")
    axes[0, 1].set_title("learned on two emotions, tested on two others")
    for panel in axes[-1]:
        shown = spread_evenly(layers, 12)
        panel.set_xticks(shown, [str(layer) for layer in shown])
        panel.set_xlabel("layer")
    handles, labels = axes[-1, 1].get_legend_handles_labels()
    if not handles:
        handles, labels = axes[0, 0].get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    if unique:
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=3)
    return figure


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
    colour = _COLOURS.get(branch, "black")
    x, y = rows["layer"].to_numpy(float) + offset, rows["estimate"].to_numpy(float)
    low, high = (rows[name].to_numpy(float) for name in ("ci_lo", "ci_hi"))
    axes.vlines(x, low, high, color=colour, linewidth=0.8, alpha=0.6)
    axes.plot(
        x,
        y,
        "o-",
        color=colour,
        markerfacecolor="white",
        markersize=4,
        label=BRANCHES.get(branch, branch),
    )
    found = rows["p_corrected"].to_numpy(float) <= ALPHA
    axes.plot(x[found], y[found], "o", color=colour, markersize=4)

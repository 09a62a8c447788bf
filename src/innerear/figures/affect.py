"""Valence and arousal by layer, or the reason why they cannot be tested."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.affect import CROSSED, GRADED, SCALES
from innerear.figures.drawing.grid import Grid, say, say_why_not
from innerear.figures.drawing.style import BRANCH_COLOURS, BRANCHES, styled
from innerear.figures.drawing.tables import distinct, n_prompts, rows_of, span
from innerear.statistics.significance import ALPHA


@styled
def draw(table: pd.DataFrame, *, model: str, contrast: str = "") -> dict[str, Figure]:
    """Draw held-out R² of graded ratings (left) and cross-condition AUC by layer, one row per scale.

    A panel without a test says why.
    """
    rows, columns = {"target": list(SCALES)}, {"statistic": [GRADED, CROSSED]}
    tops = ["graded ratings", "learned on two emotions, tested on two others"]
    look = {"panel": (3.7, 2.2), "sides": "{}\nheld-out R²", "tops": tops, "sharey": False}
    grid = Grid(f"Valence and arousal, {model}", _how_tested(table), rows, columns, **look)
    for panel, where in grid:
        graded = where["statistic"] == GRADED
        _draw(panel, rows_of(table, **where))
        panel.axhline(0 if graded else 0.5, color="0.7", linewidth=0.6, zorder=0)
        if not graded:
            panel.set(ylabel="AUC", ylim=(0, 1.02))
    grid.name_x("layer", distinct(table, "layer"))
    grid.legend(3)
    return {"affect": grid.figure}


def _how_tested(table: pd.DataFrame) -> str:
    tested, n = table.dropna(subset=["p_corrected"]), n_prompts(table)
    if tested.empty:
        return f"{n}; not tested"
    by_statistic = tested.groupby("statistic", sort=False)
    smallest = ", ".join(f"{span(rows, 'min_p', '.2g')} ({statistic})" for statistic, rows in by_statistic)
    return (
        f"{n}; {span(tested, 'n_perm')} permutations, smallest p {smallest}\n"
        f"filled: p ≤ {ALPHA}, corrected over {distinct(tested, 'family')[0]}"
    )


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    if say_why_not(axes, rows, 40, y=0.75, fontsize=7.5):
        return
    for offset, branch in enumerate(distinct(rows, "branch")):
        _draw_curve(axes, rows_of(rows, branch=branch), branch, 0.08 * (offset - 1))
    pairings = textwrap.fill("; ".join(rows["pairing"].fillna("").unique()), 60)
    say(axes, pairings, 0.02, 0.03, ha="left", va="bottom", fontsize=7, color="0.3")


def _draw_curve(axes: Axes, rows: pd.DataFrame, branch: str, offset: float) -> None:
    rows, colour = rows.sort_values("layer"), BRANCH_COLOURS.get(branch, "black")
    x, y = rows["layer"].to_numpy(float) + offset, rows["estimate"].to_numpy(float)
    axes.vlines(x, rows["ci_lo"], rows["ci_hi"], color=colour, linewidth=0.8, alpha=0.6)
    look = {"markersize": 4, "markerfacecolor": "white", "label": BRANCHES.get(branch, branch)}
    axes.plot(x, y, "o-", color=colour, **look)
    found = rows["p_corrected"].to_numpy(float) <= ALPHA
    axes.plot(x[found], y[found], "o", color=colour, markersize=4)

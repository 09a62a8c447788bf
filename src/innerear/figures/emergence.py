"""Distances and onsets over the steps, and the first against the last 10 % of steps."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.discriminability import DISTANCE
from innerear.analyses.emergence import DIFFERENCE, INTERACTION, ONSET, RISE
from innerear.figures.drawing.grid import Grid, draw_band, draw_points, say
from innerear.figures.drawing.maps import Steps
from innerear.figures.drawing.style import BRANCH_COLOURS, BRANCHES, styled
from innerear.figures.drawing.tables import (
    distinct,
    how_tested,
    intervals,
    n_and_bands,
    rows_of,
    spread_evenly,
)
from innerear.statistics.finding import NO_BRANCH
from innerear.statistics.significance import ALPHA


def draw(table: pd.DataFrame, curves: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw the figures of `innerear.analyses.emergence`; `curves` is the map of discriminability."""
    return {
        "emergence": emergence_curves(table, curves, model=model, contrast=contrast),
        "early_late": early_late(table, model=model, contrast=contrast),
    }


@styled
def emergence_curves(table: pd.DataFrame, curves: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the cross-validated distance over the steps, and what `finish` says of it.

    One row per layer (six at most, spread evenly), one column each for uncond and delta.
    """
    onsets, curves = rows_of(table, statistic=ONSET), rows_of(curves, statistic=DISTANCE, over="steps")
    title = f"When {contrast} emerges, {model}: cross-validated distance² ÷ variance"
    rows = {"layer": spread_evenly(distinct(curves, "layer"))}
    branches = [branch for branch in distinct(table, "branch") if branch != "cond"]
    n = n_and_bands(curves) if branches else NO_BRANCH.format(branch="uncond")
    columns = {"branch": branches or ["uncond"]}
    grid = Grid(title, n, rows, columns, panel=(4.2, 1.25), sides="layer {}", sharey=True)
    grid.zero()
    for panel, where in grid if branches else ():
        draw_band(panel, rows_of(curves, **where), "step", BRANCH_COLOURS[where["branch"]])
        answers = rows_of(table, statistic=RISE, **where)["answer"]
        found = rows_of(onsets, unit="step", **where).dropna(subset=["estimate"])
        _onset(panel, found, "".join(answers.fillna("").astype(str)[:1]))
    low, high = grid.axes[0, 0].get_ylim()
    grid.axes[0, 0].set_ylim(low, high + 0.3 * (high - low))  # room for the answers above all curves
    grid.step_axis(Steps.of(curves))
    return grid.figure


def _onset(axes: Axes, found: pd.DataFrame, answer: str) -> None:
    text = answer or "no onset"
    if len(found):
        value, low, high = found[["estimate", "ci_lo", "ci_hi"]].to_numpy(float)[0]
        axes.axvspan(low, high, color="black", alpha=0.15, linewidth=0)
        axes.axvline(value, color="black", linewidth=1)
        text = f"onset {value:.0f} ({low:.0f}–{high:.0f})"
    say(axes, text, 0.99, 0.95, ha="right", va="top", fontsize=7, zorder=4)


@styled
def early_late(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the interaction of label and window, and the difference of distances, by layer.

    One row per question, one column per branch; filled points are significant by max-T over layers.
    """
    questions = {INTERACTION: "another code?\ndistance² ÷ variance", DIFFERENCE: "more of it?\ndifference"}
    how = how_tested(rows_of(table, statistic=INTERACTION), marked=f"upper row filled: p ≤ {ALPHA}")
    how += "\n" + intervals(rows_of(table, statistic=list(questions)), "bars")
    title = f"Last against first 10 % of steps: {contrast}, {model}"
    columns = {"branch": sorted(distinct(table, "branch"), key=list(BRANCHES).index)}
    rows, sides = {"statistic": list(questions)}, list(questions.values())
    grid = Grid(title, how, rows, columns, panel=(3.2, 1.9), sides=sides)
    grid.zero()
    for panel, where in grid:
        draw_points(panel, rows_of(table, **where), "layer", BRANCH_COLOURS[where["branch"]], bars=True)
    grid.name_x("layer", distinct(table, "layer"))
    return grid.figure

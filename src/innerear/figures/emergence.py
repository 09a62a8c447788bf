"""Evidence and onsets over the steps, and the first against the last 10 % of steps."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.discriminability import EVIDENCE
from innerear.analyses.emergence import DIFFERENCE, INTERACTION, ONSET
from innerear.figures.maps import (
    MAX_LAYERS,
    Steps,
    distinct,
    draw_band,
    draw_points,
    how_tested,
    name_grid,
    rows_of,
    spread_evenly,
)
from innerear.figures.style import BRANCH_COLOURS, BRANCHES, new_figure, step_axis, styled
from innerear.statistics.finding import NO_BRANCH
from innerear.statistics.significance import ALPHA


def draw(table: pd.DataFrame, curves: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw all figures of `innerear.analyses.emergence`, by file name.

    Parameters
    ----------
    table : the map of all layers; curves : that of discriminability, which holds the evidence.
    model, contrast : for the titles.
    """
    return {
        "emergence": emergence_curves(table, curves, model=model, contrast=contrast),
        "early_late": early_late(table, model=model, contrast=contrast),
    }


@styled
def emergence_curves(table: pd.DataFrame, curves: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw held-out evidence over the steps, with the onset where there is one.

    Returns
    -------
    One row per layer (six at most, spread evenly), one column each for uncond and delta.
    """
    onsets = rows_of(table, statistic=ONSET)
    branches = [branch for branch in distinct(table, "branch") if branch != "cond"]
    curves = rows_of(curves, statistic=EVIDENCE, over="steps")
    layers, steps = spread_evenly(distinct(curves, "layer"), MAX_LAYERS), Steps.of(curves)
    title = f"When {contrast} emerges, {model}: evidence of held-out probes"
    n = f"n: {distinct(table, 'n_prompts')[0]} prompts; bands: 95 % of hierarchical bootstraps"
    n = n if branches else NO_BRANCH.format(branch="uncond")
    look = {"subtitle": n, "panel": (4.2, 1.25), "sharex": True, "sharey": True}
    figure, axes = new_figure(len(layers), max(len(branches), 1), title=title, **look)
    for row, layer in enumerate(layers):
        for panel, branch in zip(axes[row], branches, strict=False):
            curve = rows_of(curves, layer=layer, branch=branch).sort_values("step")
            panel.axhline(0, color="0.6", linewidth=0.6)
            draw_band(panel, curve["step"].to_numpy(float), curve, BRANCH_COLOURS[branch])
            _onset(panel, rows_of(onsets, layer=layer, branch=branch))
            step_axis(panel, steps.seconds, steps.complete, bottom=row == len(layers) - 1, top=row == 0)
    name_grid(axes, branches, [f"layer {layer}" for layer in layers])
    return figure


def _onset(axes: Axes, rows: pd.DataFrame) -> None:
    found = rows_of(rows, unit="step")
    text = "no rise, no onset"
    if len(found) and np.isfinite(found["estimate"].to_numpy(float)[0]):
        value, low, high = (found[name].to_numpy(float)[0] for name in ("estimate", "ci_lo", "ci_hi"))
        axes.axvspan(low, high, color="black", alpha=0.15, linewidth=0)
        axes.axvline(value, color="black", linewidth=1)
        text = f"onset {value:.0f} ({low:.0f}–{high:.0f})"
    axes.text(0.99, 0.95, text, transform=axes.transAxes, ha="right", va="top", fontsize=7, zorder=4)


@styled
def early_late(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the interaction of label and window, and the difference of distances, by layer.

    Returns
    -------
    One row per question, one column per branch; filled points are significant by max-T over layers.
    """
    questions = {INTERACTION: "another code?\ndistance² ÷ variance", DIFFERENCE: "more of it?\ndifference"}
    branches = sorted(distinct(table, "branch"), key=list(BRANCHES).index)
    how = how_tested(rows_of(table, statistic=INTERACTION), marked=f"upper row filled: p ≤ {ALPHA}")
    title = f"Last against first 10 % of steps: {contrast}, {model}"
    how = f"{how}\nbars: 95 % of hierarchical bootstraps"
    look = {"subtitle": how, "panel": (3.2, 1.9), "sharex": True, "sharey": "row"}
    figure, axes = new_figure(len(questions), len(branches), title=title, **look)
    for (row, column), panel in np.ndenumerate(axes):
        rows = rows_of(table, statistic=list(questions)[row], branch=branches[column])
        layer, colour = rows["layer"].to_numpy(int), BRANCH_COLOURS[branches[column]]
        panel.axhline(0, color="0.6", linewidth=0.6)
        panel.vlines(layer, rows["ci_lo"], rows["ci_hi"], color=colour, linewidth=1)
        draw_points(panel, layer, rows, colour)
    name_grid(axes, branches, list(questions.values()))
    for panel in axes[-1]:
        panel.set_xlabel("layer")
        panel.set_xticks(spread_evenly(distinct(table, "layer"), 12))
    return figure

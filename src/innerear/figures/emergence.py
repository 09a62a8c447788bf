"""Evidence and onsets over the steps, and the first against the last 10 % of steps."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.discriminability import EVIDENCE
from innerear.analyses.emergence import INTERACTION, ONSET
from innerear.figures.maps import ALPHA, Steps, distinct, rows_of, spread_evenly, why_not_tested
from innerear.figures.style import BRANCHES, new_figure, step_axis, styled

MAX_LAYERS = 6


@styled
def emergence_curves(table: pd.DataFrame, curves: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw held-out evidence over the steps, with the onset where there is one.

    Parameters
    ----------
    table : `emergence_map`; curves : `discriminability_map`, which holds the evidence.
    model, contrast : for the title.

    Returns
    -------
    One row per layer (six at most, spread evenly), one column for uncond and delta each.
    """
    onsets = rows_of(table, statistic=ONSET)
    branches = [branch for branch in distinct(table, "branch") if branch != "cond"]
    curves = rows_of(curves, statistic=EVIDENCE, over="steps")
    layers, steps = spread_evenly(distinct(curves, "layer"), MAX_LAYERS), Steps.of(curves)
    figure, axes = new_figure(
        len(layers),
        max(len(branches), 1),
        title=f"When {contrast} emerges, {model}: evidence of held-out probes",
        subtitle=f"n: {distinct(table, 'n_prompts')[0]} prompts; bands: 95 % of hierarchical bootstraps",
        panel=(4.2, 1.25),
        sharex=True,
        sharey=True,
    )
    for row, layer in enumerate(layers):
        for column, branch in enumerate(branches):
            panel = axes[row, column]
            mine = rows_of(curves, layer=layer, branch=branch).sort_values("step")
            _curve(panel, mine)
            _onset(panel, rows_of(onsets, layer=layer, branch=branch))
            step_axis(panel, steps.seconds, steps.complete, bottom=row == len(layers) - 1, top=row == 0)
            if row == 0:
                panel.set_title(BRANCHES.get(branch, branch))
            if column == 0:
                panel.set_ylabel(f"layer {layer}")
    return figure


def _curve(axes: Axes, rows: pd.DataFrame) -> None:
    step = rows["step"].to_numpy(float)
    low, high = rows["ci_lo"].to_numpy(float), rows["ci_hi"].to_numpy(float)
    axes.axhline(0, color="0.6", linewidth=0.6)
    axes.fill_between(step, low, high, color="#0072B2", alpha=0.2, linewidth=0)
    axes.plot(step, rows["estimate"].to_numpy(float), color="#0072B2", linewidth=0.9)


def _onset(axes: Axes, rows: pd.DataFrame) -> None:
    found = rows.iloc[np.flatnonzero(rows["unit"].to_numpy() == "step")]
    text = "no rise, no onset"
    if len(found) and np.isfinite(found["estimate"].to_numpy(float)[0]):
        value, low, high = (found[name].to_numpy(float)[0] for name in ("estimate", "ci_lo", "ci_hi"))
        axes.axvspan(low, high, color="#D55E00", alpha=0.2, linewidth=0)
        axes.axvline(value, color="#D55E00", linewidth=1)
        text = f"onset {value:.0f} ({low:.0f}–{high:.0f})"
    axes.text(0.99, 0.95, text, transform=axes.transAxes, ha="right", va="top", fontsize=7, zorder=4)


@styled
def early_late(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the interaction of label and window, and the difference of distances, by layer.

    Parameters
    ----------
    table : `emergence_map`.
    model, contrast : for the title.

    Returns
    -------
    One row per question, one column per branch; filled points are significant by max-T over layers.
    """
    rows_names = (
        (INTERACTION, "another code?\ndistance² ÷ variance"),
        ("difference of distances", "more of it?\ndifference"),
    )
    branches = sorted(distinct(table, "branch"), key=list(BRANCHES).index)
    n_prompts = distinct(table, "n_prompts")[0]
    interaction = rows_of(table, statistic=INTERACTION)
    tested = interaction.iloc[np.flatnonzero(np.isfinite(interaction["p_corrected"].to_numpy(float)))]
    how = f"not tested ({why_not_tested(interaction)})"
    if len(tested):
        how = (
            f"{distinct(tested, 'n_perm')[0]} permutations, smallest p {distinct(tested, 'min_p')[0]:.2g}; "
            f"filled: p ≤ {ALPHA} by max-T over layers (upper row)"
        )
    figure, axes = new_figure(
        len(rows_names),
        len(branches),
        title=f"Last against first 10 % of steps: {contrast}, {model}",
        subtitle=f"n: {n_prompts} prompts; bars: 95 % of hierarchical bootstraps\n{how}",
        panel=(3.2, 1.9),
        sharex=True,
        sharey="row",
    )
    for row, (name, label) in enumerate(rows_names):
        for column, branch in enumerate(branches):
            _points(axes[row, column], rows_of(table, statistic=name, branch=branch))
            if row == 0:
                axes[row, column].set_title(BRANCHES.get(branch, branch))
        axes[row, 0].set_ylabel(label)
    for panel in axes[-1]:
        panel.set_xlabel("layer")
        panel.set_xticks(spread_evenly(distinct(table, "layer"), 12))
    return figure


def _points(axes: Axes, rows: pd.DataFrame) -> None:
    axes.axhline(0, color="0.6", linewidth=0.6)
    layer, estimate = rows["layer"].to_numpy(int), rows["estimate"].to_numpy(float)
    axes.vlines(layer, rows["ci_lo"], rows["ci_hi"], color="#0072B2", linewidth=1)
    filled = rows["p_corrected"].to_numpy(float) <= ALPHA
    colours = np.where(filled, "#0072B2", "white")
    axes.scatter(layer, estimate, s=18, c=colours, edgecolors="#0072B2", zorder=3)

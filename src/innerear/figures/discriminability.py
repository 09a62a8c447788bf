"""Maps and curves of discriminability, and the layers compared."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.best_layers import HELD_OUT, RANK
from innerear.analyses.discriminability import AUC, CONCORDANCE, DISPERSION, DISTANCE, EVIDENCE, OMEGA
from innerear.figures.maps import (
    MAX_LAYERS,
    Steps,
    distinct,
    draw_band,
    draw_map_row,
    how_tested,
    name_grid,
    rows_of,
    spread_evenly,
)
from innerear.figures.style import (
    BRANCH_COLOURS,
    BRANCHES,
    DIVERGING,
    SEQUENTIAL,
    new_figure,
    step_axis,
    styled,
)

_UNITS = {
    DISTANCE: "distance²\n÷ variance",
    OMEGA: "ω²",
    DISPERSION: "dispersion\nF ratio",
    EVIDENCE: "probe\nevidence",
    AUC: "macro AUC",
    CONCORDANCE: "concordance",
}
_CHANCE = {AUC: 0.5, CONCORDANCE: 0.5}


def draw(table: pd.DataFrame, best: pd.DataFrame, *, model: str, contrast: str) -> dict[str, Figure]:
    """Draw all figures of `innerear.analyses.discriminability`, by file name.

    Parameters
    ----------
    table : the map of all layers; best : from `best_layers`.
    model, contrast : for the titles.
    """
    return {
        "discriminability_maps": discriminability_maps(table, model=model, contrast=contrast),
        "discriminability_curves": discriminability_curves(table, model=model, contrast=contrast),
        "layer_ranks": layer_ranks(table, best, model=model, contrast=contrast),
    }


@styled
def discriminability_maps(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw distance, ω², dispersion and probe evidence, layer × step; what is not significant is hatched.

    Returns
    -------
    One row per statistic, each with a colour scale of its own, one column per branch.
    """
    table = rows_of(table, over="steps")
    branches, steps = distinct(table, "branch"), Steps.of(table)
    names = [name for name in (DISTANCE, OMEGA, DISPERSION, EVIDENCE) if name in distinct(table, "statistic")]
    title, how = f"How far apart {contrast} lies in the layers, {model}", how_tested(table)
    figure, axes = new_figure(len(names), len(branches), title=title, subtitle=how, panel=(3.3, 1.8))
    for row, name in enumerate(names):
        mine, outer = rows_of(table, statistic=name), (row == len(names) - 1, row == 0)
        colours = SEQUENTIAL if name == DISPERSION else DIVERGING
        image = draw_map_row(
            axes[row], mine, branches, steps, limits=_limits(mine), colours=colours, outer=outer
        )
        if image is not None:
            figure.colorbar(image, ax=axes[row], label=_UNITS[name], pad=0.01)
    name_grid(axes, branches, ["layer"] * len(names))
    return figure


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    values = np.abs(table["estimate"].dropna().to_numpy(float))
    limit = float(np.quantile(values, 0.995)) if len(values) else 1.0
    limit = limit or 1.0
    return (0.0 if table["statistic"].iloc[0] == DISPERSION else -limit, limit)


@styled
def discriminability_curves(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw distance, probe evidence and AUC over the steps with bootstrap bands, one colour per layer.

    Returns
    -------
    One row per statistic, one column per branch; six layers at most, spread evenly.
    """
    table = rows_of(table, over="steps")
    layers, branches = spread_evenly(distinct(table, "layer"), MAX_LAYERS), distinct(table, "branch")
    steps, present = Steps.of(table), distinct(table, "statistic")
    names = [name for name in (DISTANCE, EVIDENCE, AUC, CONCORDANCE) if name in present]
    bands = [text for text in distinct(table, "interval") if not text.startswith("none: ")]
    title = f"How far apart {contrast} lies in the layers over the steps, {model}"
    n = f"n: {distinct(table, 'n_prompts')[0]} prompts; bands: {', '.join(bands) or 'none'}"
    look = {"subtitle": n, "panel": (3.3, 1.9), "sharex": True, "sharey": "row"}
    figure, axes = new_figure(len(names), len(branches), title=title, **look)
    shades = matplotlib.colormaps[SEQUENTIAL](np.linspace(0, 0.9, len(layers)))
    for (row, column), panel in np.ndenumerate(axes):
        mine = rows_of(table, statistic=names[row], branch=branches[column])
        panel.axhline(_CHANCE.get(names[row], 0), color="0.6", linewidth=0.6)
        for layer, shade in zip(layers, shades, strict=True):
            curve = rows_of(mine, layer=layer).sort_values("step")
            draw_band(panel, curve["step"].to_numpy(float), curve, shade, label=f"layer {layer}")
        step_axis(panel, steps.seconds, steps.complete, bottom=row == len(names) - 1, top=row == 0)
    name_grid(axes, branches, [_UNITS[name] for name in names])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(layers), 6))
    return figure


@styled
def layer_ranks(table: pd.DataFrame, best: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the layers' distance over the whole clip and the interval of their ranks.

    Returns
    -------
    Distance above, ranks below, one column per branch; the held-out confirmation stands in each title.
    """
    table = rows_of(table, window="whole", statistic=DISTANCE)
    branches = distinct(table, "branch")
    n_prompts, n_perm = distinct(best, "n_prompts")[0], best["n_perm"].to_numpy(int).max()
    tested = f"; confirmation: {n_perm} permutations, corrected over branches" if n_perm else ""
    title = f"Which layer distinguishes {contrast} best? {model}, whole clip"
    n = f"n: {n_prompts} prompts; bars: 95 % of hierarchical bootstraps{tested}"
    look = {"subtitle": n, "panel": (3.2, 1.9), "sharex": True, "sharey": "row"}
    figure, axes = new_figure(2, len(branches), title=title, **look)
    for (above, below), branch in zip(axes.T, branches, strict=True):
        _bars(above, rows_of(table, branch=branch), BRANCH_COLOURS.get(branch, "0.3"))
        above.axhline(0, color="0.6", linewidth=0.6)
        _bars(below, rows_of(best, branch=branch, statistic=RANK), "#000000")
        below.set_xlabel("layer")
        below.set_xticks(spread_evenly(distinct(table, "layer"), 12))
    titles = [f"{BRANCHES.get(branch, branch)}\n{_confirmation(best, branch)}" for branch in branches]
    name_grid(axes, titles, [_UNITS[DISTANCE], "rank (1 is best)"])
    axes[1, 0].invert_yaxis()
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    estimate = rows["estimate"].to_numpy(float)
    ends = np.abs(rows[["ci_lo", "ci_hi"]].to_numpy(float).T - estimate)
    axes.errorbar(
        rows["layer"].to_numpy(int), estimate, ends, fmt="o", markersize=3, color=colour, linewidth=1
    )


def _confirmation(best: pd.DataFrame, branch: str) -> str:
    row = rows_of(best, branch=branch, statistic=HELD_OUT).iloc[0]
    if not np.isfinite(row["p_corrected"]):
        return "best layer not confirmed"
    return f"chosen layer, held out: {row['estimate']:.3f}, p = {row['p_corrected']:.3f}"

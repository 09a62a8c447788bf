"""Maps and curves of discriminability, and the layers compared."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.discriminability import AUC, CONCORDANCE, DISPERSION, DISTANCE, EVIDENCE, OMEGA
from innerear.figures.maps import (
    Steps,
    by_layer_and_step,
    distinct,
    draw_map,
    how_tested,
    rows_of,
    spread_evenly,
)
from innerear.figures.style import BRANCHES, DIVERGING, SEQUENTIAL, new_figure, step_axis, styled

MAX_LAYERS = 6
_UNITS = {
    DISTANCE: "distance²\n÷ variance",
    OMEGA: "ω²",
    DISPERSION: "dispersion\nF ratio",
    EVIDENCE: "probe\nevidence",
    AUC: "macro AUC",
    CONCORDANCE: "concordance",
}
_CHANCE = {AUC: 0.5, CONCORDANCE: 0.5}


@styled
def discriminability_maps(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw distance, ω², dispersion and probe evidence, layer × step; what is not significant is hatched.

    Parameters
    ----------
    table : `discriminability_map`.
    model, contrast : for the title.

    Returns
    -------
    One row per statistic, each with a colour scale of its own, one column per branch.
    """
    table = rows_of(table, over="steps")
    layers, branches, steps = sorted(distinct(table, "layer")), distinct(table, "branch"), Steps.of(table)
    names = [name for name in (DISTANCE, OMEGA, DISPERSION, EVIDENCE) if name in distinct(table, "statistic")]
    figure, axes = new_figure(
        len(names),
        len(branches),
        title=f"How far layers tell {contrast} apart, {model}",
        subtitle=how_tested(table),
        panel=(3.3, 1.8),
    )
    for row, name in enumerate(names):
        mine, image = rows_of(table, statistic=name), None
        for column, branch in enumerate(branches):
            rows = rows_of(mine, branch=branch)
            outer = (column == 0, row == len(names) - 1, row == 0)
            image = draw_map(
                axes[row, column],
                by_layer_and_step(rows, "estimate", layers, steps),
                layers,
                steps,
                limits=_limits(mine),
                colours=SEQUENTIAL if name == DISPERSION else DIVERGING,
                p=by_layer_and_step(rows, "p_corrected", layers, steps),
                outer=outer,
            )
            if row == 0:
                axes[row, column].set_title(BRANCHES.get(branch, branch))
        if image is not None:
            figure.colorbar(image, ax=axes[row], label=_UNITS[name], pad=0.01)
    return figure


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    values = table["estimate"].to_numpy(float)
    values = np.abs(values[np.isfinite(values)])
    limit = float(np.quantile(values, 0.995)) if len(values) else 1.0
    limit = limit or 1.0
    return (0.0 if table["statistic"].iloc[0] == DISPERSION else -limit, limit)


@styled
def discriminability_curves(table: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw distance, probe evidence and AUC over the steps with bootstrap bands, one colour per layer.

    Parameters
    ----------
    table : `discriminability_map`.
    model, contrast : for the title.

    Returns
    -------
    One row per statistic, one column per branch; six layers at most, spread evenly.
    """
    table = rows_of(table, over="steps")
    layers, branches, steps = (
        spread_evenly(distinct(table, "layer"), MAX_LAYERS),
        distinct(table, "branch"),
        Steps.of(table),
    )
    present = distinct(table, "statistic")
    names = [name for name in (DISTANCE, EVIDENCE, AUC, CONCORDANCE) if name in present]
    bands = [text for text in distinct(table, "interval") if not text.startswith("none: ")]
    figure, axes = new_figure(
        len(names),
        len(branches),
        title=f"How far layers tell {contrast} apart over the steps, {model}",
        subtitle=f"n: {distinct(table, 'n_prompts')[0]} prompts; bands: {', '.join(bands) or 'none'}",
        panel=(3.3, 1.9),
        sharex=True,
        sharey="row",
    )
    colours = _layer_colours(layers)
    for row, name in enumerate(names):
        for column, branch in enumerate(branches):
            panel = axes[row, column]
            panel.axhline(_CHANCE.get(name, 0), color="0.6", linewidth=0.6)
            for layer in layers:
                rows = rows_of(table, statistic=name, branch=branch, layer=layer).sort_values("step")
                _band(panel, rows, colours[layer], f"layer {layer}")
            step_axis(panel, steps.seconds, steps.complete, bottom=row == len(names) - 1, top=row == 0)
            if row == 0:
                panel.set_title(BRANCHES.get(branch, branch))
            if column == 0:
                panel.set_ylabel(_UNITS[name])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(layers), 6))
    return figure


def _layer_colours(layers: list[int]) -> dict[int, str]:
    # Blue to orange by way of dark tones: ordered, and apart under colour-vision deficiencies.
    shades = ("#56B4E9", "#0072B2", "#000000", "#CC79A7", "#D55E00", "#E69F00")
    chosen = spread_evenly(range(len(shades)), len(layers))
    return {layer: shades[shade] for layer, shade in zip(layers, chosen, strict=True)}


def _band(axes: Axes, rows: pd.DataFrame, colour: str, label: str) -> None:
    step = rows["step"].to_numpy(float)
    low, high = rows["ci_lo"].to_numpy(float), rows["ci_hi"].to_numpy(float)
    axes.fill_between(step, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.plot(step, rows["estimate"].to_numpy(float), color=colour, linewidth=0.9, label=label)


@styled
def layer_ranks(table: pd.DataFrame, best: pd.DataFrame, *, model: str, contrast: str) -> Figure:
    """Draw the layers' distance over the whole clip and the interval of their ranks.

    Parameters
    ----------
    table : `discriminability_map`; best : `best_layers`.
    model, contrast : for the title.

    Returns
    -------
    Distance above, ranks below, one column per branch; the held-out confirmation stands in each title.
    """
    table = rows_of(table, window="whole", statistic=DISTANCE)
    branches = distinct(table, "branch")
    n_prompts, n_perm = distinct(best, "n_prompts")[0], best["n_perm"].to_numpy(int).max()
    tested = f"; confirmation: {n_perm} permutations, corrected over branches" if n_perm else ""
    figure, axes = new_figure(
        2,
        len(branches),
        title=f"Which layer tells {contrast} apart best? {model}, whole clip",
        subtitle=f"n: {n_prompts} prompts; bars: 95 % of hierarchical bootstraps{tested}",
        panel=(3.2, 1.9),
        sharex=True,
        sharey="row",
    )
    for column, branch in enumerate(branches):
        _bars(axes[0, column], rows_of(table, branch=branch), "#0072B2")
        axes[0, column].axhline(0, color="0.6", linewidth=0.6)
        _bars(axes[1, column], rows_of(best, branch=branch, statistic="rank of the layer"), "#000000")
        axes[1, column].set_xlabel("layer")
        axes[1, column].set_xticks(spread_evenly(distinct(table, "layer"), 12))
        axes[0, column].set_title(f"{BRANCHES.get(branch, branch)}\n{_confirmation(best, branch)}")
    axes[1, 0].invert_yaxis()
    axes[0, 0].set_ylabel(_UNITS[DISTANCE])
    axes[1, 0].set_ylabel("rank (1 is best)")
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    estimate = rows["estimate"].to_numpy(float)
    ends = np.abs(rows[["ci_lo", "ci_hi"]].to_numpy(float).T - estimate)
    axes.errorbar(
        rows["layer"].to_numpy(int), estimate, ends, fmt="o", markersize=3, color=colour, linewidth=1
    )


def _confirmation(best: pd.DataFrame, branch: str) -> str:
    row = rows_of(best, branch=branch, statistic="held-out distance of the chosen layer").iloc[0]
    if not np.isfinite(row["p_corrected"]):
        return "best layer not confirmed"
    return f"chosen layer, held out: {row['estimate']:.3f}, p = {row['p_corrected']:.3f}"

"""Shares of text and history over layers and steps, when one overtakes the other, and likelihoods."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.text_or_history.across_templates import PROBES
from innerear.analyses.text_or_history.cells import HISTORY, INTERACTION, PARAPHRASE, SWAP, TEXT
from innerear.analyses.text_or_history.decomposition import OVERTAKING
from innerear.analyses.text_or_history.likelihood import ALL, COST, MISMATCH
from innerear.analyses.text_or_history.shares import CLIP, COMPONENTS, LENGTH, SHUFFLED, probe_name
from innerear.figures.maps import (
    ALPHA,
    Steps,
    by_layer_and_step,
    distinct,
    draw_map,
    how_tested,
    rows_of,
    spread_evenly,
    why_not_tested,
)
from innerear.figures.style import SEQUENTIAL, new_figure, step_axis, styled

MAX_LAYERS = 6
_COLOURS = {TEXT: "#0072B2", HISTORY: "#D55E00", INTERACTION: "#CC79A7", CLIP: "0.85"}
_CONTROLS = {
    TEXT: "#0072B2",
    SWAP: "#56B4E9",
    PARAPHRASE: "#000000",
    HISTORY: "#D55E00",
    HISTORY + SHUFFLED: "#E69F00",
}
_PROBES = dict(zip(PROBES, ("#D55E00", "#0072B2", "#000000", "#009E73", "#CC79A7"), strict=True))
_LISTENERS = {"model": "the model", "random_init": "random twin (same codes)"}


def _nothing(table: pd.DataFrame, title: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    figure, axes = new_figure(title=title, panel=(7.5, 1.2))
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, why_not_tested(table), ha="center", va="center", wrap=True)
    return figure


def _width(listeners: list[str]) -> float:
    """Inches of a panel: one alone must hold the title."""
    return 7.5 if len(listeners) == 1 else 4.6


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    return table.iloc[np.flatnonzero(np.isfinite(table["estimate"].to_numpy(float)))]


def _bands(table: pd.DataFrame) -> str:
    found = [text for text in distinct(table, "interval") if text and not text.startswith("none: ")]
    return max(found, key=len, default="none")


@styled
def shares_over_layers(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw stacked shares of the whole clip by layer, and below them the controls with their intervals.

    Parameters
    ----------
    table : `decomposition_map`; model : for the title.

    Returns
    -------
    One column per listener. Shares below 0 are drawn as 0 in the stack.
    """
    title = f"Text or history? Shares of the states' variance over the whole clip, {model}"
    table = rows_of(table, window="whole")
    if _measured(rows_of(table, statistic=TEXT)).empty:
        return _nothing(table, title)
    listeners = distinct(table, "listener")
    tested = _measured(rows_of(table, statistic=TEXT))
    figure, axes = new_figure(
        2,
        len(listeners),
        title=title,
        subtitle=f"{how_tested(tested, marked='')}\nbars below: {_bands(tested)}",
        panel=(_width(listeners), 2.3),
        sharex=True,
        sharey="row",
    )
    for column, listener in enumerate(listeners):
        mine = rows_of(table, listener=listener)
        _stack(axes[0, column], mine)
        for offset, (name, colour) in enumerate(_CONTROLS.items()):
            _points(axes[1, column], rows_of(mine, statistic=name), colour, 0.12 * (offset - 2), name)
        axes[0, column].set_title(_LISTENERS[listener])
        axes[1, column].axhline(0, color="0.6", linewidth=0.6)
        axes[1, column].set_yscale("symlog", linthresh=1e-3, linscale=0.5)
        axes[1, column].set_ylim(min(1.5 * _lowest(table), -3e-4), 1.5)
        axes[1, column].set_xlabel("layer")
        axes[1, column].set_xticks(spread_evenly(distinct(mine, "layer"), 12))
    axes[0, 0].set_ylabel("share of variance")
    axes[1, 0].set_ylabel("share of variance\n(log away from 0)")
    for row in axes:
        handles, labels = row[0].get_legend_handles_labels()
        row[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _lowest(table: pd.DataFrame) -> float:
    controls = table.iloc[np.flatnonzero(table["statistic"].isin(list(_CONTROLS)))]
    return float(np.nanmin(controls[["estimate", "ci_lo"]].to_numpy(float)))


def _stack(axes: Axes, rows: pd.DataFrame) -> None:
    base = np.zeros(len(distinct(rows, "layer")))
    for name, colour in _COLOURS.items():
        mine = rows_of(rows, statistic=name).sort_values("layer")
        height = np.nan_to_num(np.maximum(mine["estimate"].to_numpy(float), 0))
        axes.bar(mine["layer"].to_numpy(int), height, bottom=base, color=colour, width=0.8, label=name)
        base = base + height
    axes.set_ylim(0, 1.02)


def _points(axes: Axes, rows: pd.DataFrame, colour: str, shift: float, label: str) -> None:
    rows = _measured(rows)
    if rows.empty:
        return
    layer, estimate = rows["layer"].to_numpy(float) + shift, rows["estimate"].to_numpy(float)
    axes.vlines(layer, rows["ci_lo"], rows["ci_hi"], color=colour, linewidth=1)
    axes.plot(layer, estimate, "o", markersize=3, color=colour, label=label)


@styled
def shares_over_steps(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw stacked shares of text, history and interaction over the steps, and when history overtakes text.

    Parameters
    ----------
    table : `decomposition_map`; model : for the title.

    Returns
    -------
    One row per layer (six at most, spread evenly), one column per listener. The rest up to 1 is of the
    single clip, and is not drawn.
    """
    title = f"Text or history? Shares of the states' variance over the steps, {model}"
    steps_only = rows_of(table, over="steps")
    if steps_only.empty:
        return _nothing(table, title)
    layers, listeners = spread_evenly(distinct(table, "layer"), MAX_LAYERS), distinct(table, "listener")
    steps = Steps.of(steps_only)
    figure, axes = new_figure(
        len(layers),
        len(listeners),
        title=title,
        subtitle=f"n: {distinct(table, 'n_prompts')[0]} prompts; the rest up to 1 is of the single clip",
        panel=(_width(listeners), 1.25),
        sharex=True,
        sharey=True,
    )
    for row, layer in enumerate(layers):
        for column, listener in enumerate(listeners):
            panel, where = axes[row, column], {"layer": layer, "listener": listener}
            _area(panel, rows_of(steps_only, **where))
            _crossing(panel, rows_of(table, statistic=OVERTAKING, unit="step", **where), steps)
            step_axis(panel, steps.seconds, steps.complete, bottom=row == len(layers) - 1, top=row == 0)
            panel.set_ylim(bottom=0)
            if row == 0:
                panel.set_title(_LISTENERS[listener])
            if column == 0:
                panel.set_ylabel(f"layer {layer}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _area(axes: Axes, rows: pd.DataFrame) -> None:
    values = [rows_of(rows, statistic=name).sort_values("step") for name in COMPONENTS]
    step = values[0]["step"].to_numpy(float)
    heights = [np.nan_to_num(np.maximum(mine["estimate"].to_numpy(float), 0)) for mine in values]
    colours = [_COLOURS[name] for name in COMPONENTS]
    axes.stackplot(step, heights, colors=colours, labels=list(COMPONENTS), linewidth=0)


def _crossing(axes: Axes, rows: pd.DataFrame, steps: Steps) -> None:
    text = "neither is established"
    found = _measured(rows)
    if len(found):
        row = found.iloc[0]
        text = "history overtakes text " + str(row["reading"]).split(" (")[0]
        inside = np.flatnonzero(steps.complete)
        if inside[0] < row["estimate"] <= inside[-1]:
            axes.axvspan(row["ci_lo"], row["ci_hi"], color="0.5", alpha=0.3, linewidth=0)
            axes.axvline(row["estimate"], color="black", linewidth=1)
    box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1}
    axes.text(0.98, 0.92, text, transform=axes.transAxes, ha="right", va="top", fontsize=7, bbox=box)


@styled
def text_maps(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw the shares of text and of history, layer × step, with the line where history overtakes text.

    Parameters
    ----------
    table : `decomposition_map`; model : for the title.

    Returns
    -------
    Text above, history below, one column per listener; each panel has a colour scale of its own.
    """
    title = f"Where text and history are in the states, {model}"
    steps_only = rows_of(table, over="steps")
    if steps_only.empty:
        return _nothing(table, title)
    layers, listeners = sorted(distinct(table, "layer")), distinct(table, "listener")
    steps = Steps.of(steps_only)
    figure, axes = new_figure(
        2,
        len(listeners),
        title=title,
        subtitle=f"{how_tested(rows_of(steps_only, statistic=TEXT))}\n"
        "white line: the step at which history overtakes text, dotted its interval",
        panel=(_width(listeners), 2.0),
    )
    for row, name in enumerate((TEXT, HISTORY)):
        for column, listener in enumerate(listeners):
            mine = rows_of(steps_only, statistic=name, listener=listener)
            values = by_layer_and_step(mine, "estimate", layers, steps)
            largest = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
            image = draw_map(
                axes[row, column],
                values,
                layers,
                steps,
                limits=(0, max(largest, 1e-6)),
                colours=SEQUENTIAL,
                p=by_layer_and_step(mine, "p_corrected", layers, steps),
                outer=(column == 0, row == 1, row == 0),
            )
            _overtaking_line(axes[row, column], table, listener, layers)
            figure.colorbar(image, ax=axes[row, column], label=f"share of {name}", pad=0.01)
            if row == 0:
                axes[row, column].set_title(_LISTENERS[listener])
    return figure


def _overtaking_line(axes: Axes, table: pd.DataFrame, listener: str, layers: list[int]) -> None:
    rows = _measured(rows_of(table, statistic=OVERTAKING, unit="step", listener=listener))
    for column, style in (("ci_lo", ":"), ("estimate", "-"), ("ci_hi", ":")):
        for layer, value in zip(rows["layer"].tolist(), rows[column].to_numpy(float), strict=True):
            row = layers.index(layer)
            axes.plot(
                [value - 0.5] * 2, [row - 0.45, row + 0.45], style, color="white", linewidth=2, zorder=4
            )
            axes.plot(
                [value - 0.5] * 2, [row - 0.45, row + 0.45], style, color="black", linewidth=1, zorder=5
            )


@styled
def text_probes(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw what probes of one kind read in the other, and the length of delta, by layer.

    Parameters
    ----------
    table : `decomposition_map`; model : for the title.

    Returns
    -------
    Accuracies on held-out templates above, ‖delta‖ ÷ ‖cond‖ below, one column per listener; filled points
    are significant by max-T.
    """
    title = f"One code for text and history? Probes on held-out templates, {model}, whole clip"
    table = rows_of(table, window="whole")
    names = {probe_name(*pair): colour for pair, colour in _PROBES.items()}
    probes = table.iloc[np.flatnonzero(table["statistic"].isin(list(names)))]
    if _measured(probes).empty:
        return _nothing(probes, title)
    listeners = distinct(table, "listener")
    tested = _measured(probes)
    smallest = tested["min_p"].to_numpy(float)
    smallest = smallest[np.isfinite(smallest)]
    reached = (
        f"smallest p {smallest.min():.2g} … {smallest.max():.2g} by kind" if len(smallest) else "not tested"
    )
    figure, axes = new_figure(
        2,
        len(listeners),
        title=title,
        subtitle=f"n: {distinct(table, 'n_prompts')[0]} prompts; {reached}; "
        f"filled: p ≤ {ALPHA} by max-T over layers × windows",
        panel=(_width(listeners), 2.2),
        sharex=True,
        sharey="row",
    )
    for column, listener in enumerate(listeners):
        mine = rows_of(table, listener=listener)
        for offset, (name, colour) in enumerate(names.items()):
            rows = _measured(rows_of(mine, statistic=name))
            layer = rows["layer"].to_numpy(float) + 0.1 * (offset - 2)
            filled = np.where(rows["p_corrected"].to_numpy(float) <= ALPHA, colour, "white")
            axes[0, column].vlines(layer, rows["ci_lo"], rows["ci_hi"], color=colour, linewidth=1)
            axes[0, column].scatter(layer, rows["estimate"], s=16, c=filled, edgecolors=colour, zorder=3)
            axes[0, column].plot([], [], "o", color=colour, label=name)
        axes[0, column].axhline(_chance(tested), color="0.6", linewidth=0.6)
        axes[0, column].set_title(_LISTENERS[listener])
        _points(axes[1, column], rows_of(mine, statistic=LENGTH), "#000000", 0, LENGTH)
        axes[1, column].set_xlabel("layer")
        axes[1, column].set_xticks(spread_evenly(distinct(mine, "layer"), 12))
    axes[0, 0].set_ylabel("balanced accuracy")
    axes[1, 0].set_ylabel(LENGTH)
    axes[1, 0].set_ylim(bottom=0)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    axes[0, -1].legend(handles, labels, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def _chance(probes: pd.DataFrame) -> float:
    return float(probes["chance"].iloc[0])


@styled
def likelihood_matrix(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw what each text costs the codes of each emotion, codes × text.

    Parameters
    ----------
    table : `likelihood_table` of all listeners; model : for the title.

    Returns
    -------
    One row per listener, one column per distribution; each panel has a colour scale of its own.
    """
    title = f"Does {model} hear that a text does not go with the music?"
    matrix = rows_of(table, statistic=COST)
    if matrix.empty:
        return _nothing(table, title)
    listeners, distributions = distinct(matrix, "listener"), distinct(matrix, "distribution")
    codes, texts = distinct(matrix, "codes"), distinct(matrix, "text_read")
    tested = how_tested(rows_of(table, statistic=MISMATCH), marked="")
    figure, axes = new_figure(
        len(listeners),
        len(distributions),
        title=title,
        subtitle=f"nats per token more than under the own text; {tested}",
        panel=(4.6, 2.3),
    )
    for row, listener in enumerate(listeners):
        for column, distribution in enumerate(distributions):
            panel = axes[row, column]
            mine = rows_of(matrix, listener=listener, distribution=distribution)
            values = mine["estimate"].to_numpy(float).reshape(len(codes), len(texts))
            _matrix(panel, values, codes, texts)
            whole = {"codebook": ALL, "window": "whole", "statistic": MISMATCH}
            found = rows_of(table, listener=listener, distribution=distribution, **whole).iloc[0]
            panel.set_title(
                f"{_LISTENERS[listener]}, {distribution}\nmismatch {found['estimate']:.3f} "
                f"({found['ci_lo']:.3f} … {found['ci_hi']:.3f}), p = {found['p_corrected']:.2g}"
            )
            if column == 0:
                panel.set_ylabel("codes made for")
            if row == len(listeners) - 1:
                panel.set_xlabel("read under the text")
    return figure


def _matrix(axes: Axes, values: np.ndarray, codes: list[str], texts: list[str]) -> None:
    limit = float(np.abs(values).max()) or 1.0
    axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(texts)), texts, rotation=30, ha="right")
    axes.set_yticks(range(len(codes)), codes)
    for (i, j), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        axes.text(
            j, i, f"{value:.2f}".replace("-0.00", "0.00"), ha="center", va="center", fontsize=7, color=colour
        )

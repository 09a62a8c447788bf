"""Shares of text and history over layers and steps, when one overtakes the other, probes, and likelihoods."""

from collections.abc import Iterable

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
    Steps,
    by_layer_and_step,
    distinct,
    draw_map,
    how_tested,
    rows_of,
    spread_evenly,
    why_not_tested,
)
from innerear.figures.style import DIVERGING, SEQUENTIAL, new_figure, step_axis, styled
from innerear.statistics.significance import ALPHA

MAX_LAYERS = 6
# Paul Tol's muted palette: none of these is the colour of an emotion or a branch.
_COLOURS = {TEXT: "#332288", HISTORY: "#CC6677", INTERACTION: "#999933", CLIP: "0.85"}
_CONTROLS = {
    TEXT: _COLOURS[TEXT],
    SWAP: "#88CCEE",
    PARAPHRASE: "0.3",
    HISTORY: _COLOURS[HISTORY],
    HISTORY + SHUFFLED: "#DDCC77",
}
_PROBES = dict(
    zip(
        (probe_name(*pair) for pair in PROBES),
        (_COLOURS[HISTORY], _COLOURS[TEXT], "0.3", "#44AA99", "#AA4499"),
        strict=True,
    )
)
_WEIGHTS = {"trained": "the model", "random_init": "random twin (same codes)"}


def draw(
    table: pd.DataFrame, likelihood: pd.DataFrame, *, model: str, contrast: str = "emotion"
) -> dict[str, Figure]:
    """Draw the figures of text or history.

    Parameters
    ----------
    table : map of `innerear.analyses.text_or_history.decomposition`.
    likelihood : `likelihood_table` of all weights.
    model : for the titles.
    contrast : not used; texts differ in the emotion.

    Returns
    -------
    File name → figure. Each has a column (the matrix a row) for the trained model and for its random twin.
    """
    return {
        "text_or_history": shares_over_layers(table, model=model),
        "text_or_history_steps": shares_over_steps(table, model=model),
        "text_maps": text_maps(table, model=model),
        "text_probes": text_probes(table, model=model),
        "likelihood_matrix": likelihood_matrix(likelihood, model=model),
    }


def _nothing(table: pd.DataFrame, title: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    figure, axes = new_figure(title=title, panel=(7.5, 1.2))
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, why_not_tested(table), ha="center", va="center", wrap=True)
    return figure


def _panels(
    table: pd.DataFrame, rows: int, height: float, title: str, subtitle: str, **shared
) -> tuple[Figure, np.ndarray, list[str]]:
    """Make a figure with a column for each of the weights; return these too."""
    weights = distinct(table, "weights")
    # One panel alone must hold the title.
    panel = (7.5 if len(weights) == 1 else 4.6, height)
    figure, axes = new_figure(rows, len(weights), title=title, subtitle=subtitle, panel=panel, **shared)
    for column, one in enumerate(weights):
        axes[0, column].set_title(_WEIGHTS[one])
    return figure, axes, weights


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    return table.iloc[np.flatnonzero(np.isfinite(table["estimate"].to_numpy(float)))]


def _of(table: pd.DataFrame, statistics: Iterable[str]) -> pd.DataFrame:
    return table.iloc[np.flatnonzero(table["statistic"].isin(list(statistics)))]


def _heights(rows: pd.DataFrame, statistic: str, by: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a share along a column, and what it is drawn as: nothing below 0."""
    mine = rows_of(rows, statistic=statistic).sort_values(by)
    return mine[by].to_numpy(int), np.nan_to_num(np.maximum(mine["estimate"].to_numpy(float), 0))


def _layer_axis(axes: Axes, table: pd.DataFrame) -> None:
    axes.set_xlabel("layer")
    axes.set_xticks(spread_evenly(distinct(table, "layer"), 12))


def _legend(row: np.ndarray) -> None:
    """Explain a row of panels to its right."""
    handles, labels = row[0].get_legend_handles_labels()
    row[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1.01, 0.5))


def _points(axes: Axes, rows: pd.DataFrame, colour: str, shift: float, label: str, *, hollow=False) -> None:
    """Draw estimates and intervals by layer; with `hollow`, fill only what is significant."""
    rows = _measured(rows)
    if rows.empty:
        return
    layer = rows["layer"].to_numpy(float) + shift
    significant = rows["p_corrected"].to_numpy(float) <= ALPHA
    filled = np.where(significant | (not hollow), colour, "white")
    axes.vlines(layer, rows["ci_lo"], rows["ci_hi"], color=colour, linewidth=1)
    axes.scatter(layer, rows["estimate"], s=12, c=filled, edgecolors=colour, zorder=3)
    axes.plot([], [], "o", color=colour, markersize=3.5, label=label)


@styled
def shares_over_layers(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw stacked shares of the whole clip by layer, and below them the controls with their intervals."""
    title = f"Text or history? Shares of the states' variance over the whole clip, {model}"
    table = rows_of(table, window="whole")
    tested = _measured(rows_of(table, statistic=TEXT))
    if tested.empty:
        return _nothing(rows_of(table, statistic=TEXT), title)
    bands = [text for text in distinct(tested, "interval") if text and not text.startswith("none: ")]
    subtitle = f"{how_tested(tested, marked='')}\nbars below: {max(bands, key=len, default='none')}"
    figure, axes, weights = _panels(table, 2, 2.3, title, subtitle, sharex=True, sharey="row")
    lowest = float(np.nanmin(_of(table, _CONTROLS)[["estimate", "ci_lo"]].to_numpy(float)))
    for (upper, lower), one in zip(axes.T, weights, strict=True):
        mine = rows_of(table, weights=one)
        base = 0
        for name, colour in _COLOURS.items():
            layer, height = _heights(mine, name, "layer")
            upper.bar(layer, height, bottom=base, color=colour, width=0.8, label=name)
            base = base + height
        upper.set_ylim(0, 1.02)
        for offset, (name, colour) in enumerate(_CONTROLS.items()):
            _points(lower, rows_of(mine, statistic=name), colour, 0.12 * (offset - 2), name)
        lower.axhline(0, color="0.6", linewidth=0.6)
        lower.set_yscale("symlog", linthresh=1e-3, linscale=0.5)
        lower.set_ylim(min(1.5 * lowest, -3e-4), 1.5)
        _layer_axis(lower, mine)
    axes[0, 0].set_ylabel("share of variance")
    axes[1, 0].set_ylabel("share of variance\n(log away from 0)")
    for row in axes:
        _legend(row)
    return figure


@styled
def shares_over_steps(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw stacked shares of text, history and interaction over the steps, and when history overtakes text.

    One row per layer (six at most, spread evenly). The rest up to 1 is of the single clip, and is not drawn.
    """
    title = f"Text or history? Shares of the states' variance over the steps, {model}"
    at_steps = rows_of(table, over="steps")
    if at_steps.empty:
        return _nothing(table, title)
    layers, steps = spread_evenly(distinct(table, "layer"), MAX_LAYERS), Steps.of(at_steps)
    subtitle = f"n: {distinct(table, 'n_prompts')[0]} prompts; the rest up to 1 is of the single clip"
    figure, axes, weights = _panels(table, len(layers), 1.25, title, subtitle, sharex=True, sharey=True)
    for row, layer in enumerate(layers):
        axes[row, 0].set_ylabel(f"layer {layer}")
        for panel, one in zip(axes[row], weights, strict=True):
            where = {"layer": layer, "weights": one}
            drawn = [_heights(rows_of(at_steps, **where), name, "step") for name in COMPONENTS]
            colours = [_COLOURS[name] for name in COMPONENTS]
            heights = [height for _, height in drawn]
            panel.stackplot(drawn[0][0], heights, colors=colours, labels=list(COMPONENTS), linewidth=0)
            _overtaking(panel, rows_of(table, statistic=OVERTAKING, unit="step", **where), steps)
            step_axis(panel, steps.seconds, steps.complete, bottom=row == len(layers) - 1, top=row == 0)
            panel.set_ylim(bottom=0)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _overtaking(axes: Axes, rows: pd.DataFrame, steps: Steps) -> None:
    """Mark the step at which history overtakes text, and say it."""
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
    """Draw the shares of text (above) and history, layer × step, and where history overtakes text.

    Each panel has a colour scale of its own.
    """
    title = f"Where text and history are in the states, {model}"
    at_steps = rows_of(table, over="steps")
    if at_steps.empty:
        return _nothing(table, title)
    layers, steps = sorted(distinct(table, "layer")), Steps.of(at_steps)
    line = "line: the step at which history overtakes text, dotted its interval"
    subtitle = f"{how_tested(rows_of(at_steps, statistic=TEXT))}\n{line}"
    figure, axes, weights = _panels(table, 2, 2.0, title, subtitle)
    for row, name in enumerate((TEXT, HISTORY)):
        for column, one in enumerate(weights):
            panel, mine = axes[row, column], rows_of(at_steps, statistic=name, weights=one)
            values = by_layer_and_step(mine, "estimate", layers, steps)
            largest = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
            image = draw_map(
                panel,
                values,
                layers,
                steps,
                limits=(0, max(largest, 1e-6)),
                colours=SEQUENTIAL,
                p=by_layer_and_step(mine, "p_corrected", layers, steps),
                outer=(column == 0, row == 1, row == 0),
            )
            _overtaking_line(panel, rows_of(table, weights=one), layers)
            figure.colorbar(image, ax=panel, label=f"share of {name}", pad=0.01)
    return figure


def _overtaking_line(axes: Axes, table: pd.DataFrame, layers: list[int]) -> None:
    rows = _measured(rows_of(table, statistic=OVERTAKING, unit="step"))
    y = np.array([layers.index(layer) for layer in rows["layer"]]) + np.array([[-0.45], [0.45]])
    for column, style in (("ci_lo", ":"), ("estimate", "-"), ("ci_hi", ":")):
        x = np.tile(rows[column].to_numpy(float) - 0.5, (2, 1))
        axes.plot(x, y, style, color="white", linewidth=2, zorder=4)
        axes.plot(x, y, style, color="black", linewidth=1, zorder=5)


@styled
def text_probes(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw what probes of one kind read in the other on held-out templates, and the length of delta below.

    Filled points are significant by max-T.
    """
    title = f"One code for text and history? Probes on held-out templates, {model}, whole clip"
    table = rows_of(table, window="whole")
    probes = _of(table, _PROBES)
    tested = _measured(probes)
    if tested.empty:
        return _nothing(probes, title)
    smallest = tested["min_p"].dropna()
    reached = "not tested"
    if len(smallest):
        reached = f"smallest p {smallest.min():.2g} … {smallest.max():.2g} by kind"
    n = f"n: {distinct(table, 'n_prompts')[0]} prompts"
    subtitle = f"{n}; {reached}; filled: p ≤ {ALPHA} by max-T over layers × windows"
    figure, axes, weights = _panels(table, 2, 2.2, title, subtitle, sharex=True, sharey="row")
    for (upper, lower), one in zip(axes.T, weights, strict=True):
        mine = rows_of(table, weights=one)
        for offset, (name, colour) in enumerate(_PROBES.items()):
            _points(upper, rows_of(mine, statistic=name), colour, 0.1 * (offset - 2), name, hollow=True)
        upper.axhline(float(tested["chance"].iloc[0]), color="0.6", linewidth=0.6)
        _points(lower, rows_of(mine, statistic=LENGTH), "black", 0, LENGTH)
        _layer_axis(lower, mine)
    axes[0, 0].set_ylabel("balanced accuracy")
    axes[1, 0].set_ylabel(LENGTH)
    axes[1, 0].set_ylim(bottom=0)
    _legend(axes[0])
    return figure


@styled
def likelihood_matrix(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw what each text costs the codes of each emotion, codes × text.

    One column per distribution; each panel has a colour scale of its own.
    """
    title = f"Does another emotion's text make the clip's own tokens less likely? {model}"
    matrix = rows_of(table, statistic=COST)
    if matrix.empty:
        return _nothing(table, title)
    weights, distributions = distinct(matrix, "weights"), distinct(matrix, "distribution")
    mismatch = rows_of(table, statistic=MISMATCH)
    subtitle = f"nats per token more than under the own text; {how_tested(mismatch, marked='')}"
    panels = {"title": title, "subtitle": subtitle, "panel": (4.6, 2.3)}
    figure, axes = new_figure(len(weights), len(distributions), **panels)
    for row, one in enumerate(weights):
        for column, distribution in enumerate(distributions):
            panel, where = axes[row, column], {"weights": one, "distribution": distribution}
            _matrix(panel, rows_of(matrix, **where))
            found = rows_of(mismatch, codebook=ALL, window="whole", **where).iloc[0]
            panel.set_title(
                f"{_WEIGHTS[one]}, {distribution}\nmismatch {found['estimate']:.3f} "
                f"({found['ci_lo']:.3f} … {found['ci_hi']:.3f}), p = {found['p_corrected']:.2g}"
            )
        axes[row, 0].set_ylabel("codes made for")
    for panel in axes[-1]:
        panel.set_xlabel("read under the text")
    return figure


def _matrix(axes: Axes, rows: pd.DataFrame) -> None:
    codes, texts = distinct(rows, "codes"), distinct(rows, "text_read")
    values = rows["estimate"].to_numpy(float).reshape(len(codes), len(texts))
    limit = float(np.abs(values).max()) or 1.0
    axes.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(texts)), texts, rotation=30, ha="right")
    axes.set_yticks(range(len(codes)), codes)
    for (i, j), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        shown = f"{value:.2f}".replace("-0.00", "0.00")
        axes.text(j, i, shown, ha="center", va="center", fontsize=7, color=colour)

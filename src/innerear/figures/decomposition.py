"""Shares of text and history over layers and steps, their overtaking, probes, and likelihoods."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.analyses.text_or_history.across_templates import PROBES
from innerear.analyses.text_or_history.cells import HISTORY, INTERACTION, PARAPHRASE, SWAP, TEXT
from innerear.analyses.text_or_history.decomposition import OVERTAKING
from innerear.analyses.text_or_history.likelihood import ALL, COST, MISMATCH
from innerear.analyses.text_or_history.shares import CLIP, COMPONENTS, LENGTH, SHUFFLED, probe_name
from innerear.figures.drawing.grid import Grid, draw_points, say
from innerear.figures.drawing.maps import Steps, draw_estimates
from innerear.figures.drawing.style import DIVERGING, SEQUENTIAL, new_figure, short, styled
from innerear.figures.drawing.tables import (
    distinct,
    how_tested,
    intervals,
    largest,
    n_prompts,
    rows_of,
    spread_evenly,
    why_not_tested,
)
from innerear.statistics.significance import ALPHA

# Paul Tol's muted palette: none of these is the colour of an emotion or a branch.
_COLOURS = {TEXT: "#332288", HISTORY: "#CC6677", INTERACTION: "#999933", CLIP: "0.85"}
_CONTROLS = {
    TEXT: _COLOURS[TEXT],
    SWAP: "#88CCEE",
    PARAPHRASE: "0.3",
    HISTORY: _COLOURS[HISTORY],
    HISTORY + SHUFFLED: "#DDCC77",
}
_PROBE_COLOURS = (_COLOURS[HISTORY], _COLOURS[TEXT], "0.3", "#44AA99", "#AA4499")
_PROBES = dict(zip((probe_name(*pair) for pair in PROBES), _PROBE_COLOURS, strict=True))
_WEIGHTS = {"trained": "the model", "random_init": "random twin (same codes)"}


def draw(
    table: pd.DataFrame, likelihood: pd.DataFrame, *, model: str, contrast: str = "emotion"
) -> dict[str, Figure]:
    """Draw the figures of text or history, with a column (the matrix: a row) for each of the weights.

    `likelihood` is the `likelihood_table` of all weights. Texts differ in the emotion, whatever the contrast.
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
    say(axes[0, 0], why_not_tested(table), wrap=True, fontsize=9)
    return figure


def _by_weights(
    title: str, how: str, rows: dict, table: pd.DataFrame, *, height: float, sides: str | list[str], **shared
) -> Grid:
    """Make a grid with a column for each of the weights."""
    weights = distinct(table, "weights")
    # One panel alone must hold the title.
    look = {"panel": (7.5 if len(weights) == 1 else 4.6, height), "sides": sides}
    # A heading is for telling columns apart.
    look["tops"] = [_WEIGHTS[one] for one in weights] if len(weights) > 1 else []
    return Grid(title, how, rows, {"weights": weights}, **look, **shared)


def _legend(row: np.ndarray) -> None:
    """Explain a row of panels to its right."""
    row[-1].legend(*row[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.01, 0.5))


def _points(axes: Axes, rows: pd.DataFrame, colours: dict[str, str], apart: float, *, hollow: bool) -> None:
    """Draw each statistic's estimates and intervals by layer, side by side."""
    for place, (name, colour) in enumerate(colours.items()):
        shift = apart * (place - (len(colours) - 1) / 2)
        mine = rows_of(rows, statistic=name).dropna(subset=["estimate"])
        if len(mine):
            draw_points(axes, mine, "layer", colour, shift=shift, label=name, bars=True, hollow=hollow)


@styled
def shares_over_layers(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw stacked shares of the whole clip by layer, and below them the controls with their intervals."""
    title = f"Text or history? Shares of the states' variance over the whole clip, {model}"
    table = rows_of(table, window="whole")
    of_text = rows_of(table, statistic=TEXT)
    tested = of_text.dropna(subset=["estimate"])
    if tested.empty:
        return _nothing(of_text, title)
    how = f"{how_tested(tested, marked='')}\n{intervals(tested, 'bars below')}"
    rows, sides = {"row": range(2)}, ["share of variance", "share of variance\n(log away from 0)"]
    grid = _by_weights(title, how, rows, table, height=2.3, sides=sides)
    lowest = rows_of(table, statistic=list(_CONTROLS))[["estimate", "ci_lo"]].min(axis=None)
    for (upper, lower), weights in zip(grid.axes.T, distinct(table, "weights"), strict=True):
        mine = rows_of(table, weights=weights).sort_values("layer")
        base = 0
        for name, colour in _COLOURS.items():
            share = rows_of(mine, statistic=name)
            height = _height(share)
            upper.bar(share["layer"].to_numpy(int), height, bottom=base, color=colour, width=0.8, label=name)
            base = base + height
        upper.set_ylim(0, 1.02)
        _points(lower, mine, _CONTROLS, 0.12, hollow=False)
        lower.set_yscale("symlog", linthresh=1e-3, linscale=0.5)
        lower.set_ylim(min(1.5 * lowest, -3e-4), 1.5)
    grid.zero(row=1)
    grid.name_x("layer", distinct(table, "layer"))
    for row in grid.axes:
        _legend(row)
    return grid.figure


def _height(share: pd.DataFrame) -> np.ndarray:
    """Return what shares are drawn as: nothing below 0."""
    return share["estimate"].clip(lower=0).fillna(0).to_numpy(float)


@styled
def shares_over_steps(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw stacked shares of text, history and interaction over the steps, and when history overtakes text.

    One row per layer (six at most, spread evenly). The rest up to 1 is of the single clip, and is not drawn.
    """
    title = f"Text or history? Shares of the states' variance over the steps, {model}"
    at_steps = rows_of(table, over="steps")
    if at_steps.empty:
        return _nothing(table, title)
    steps, rows = Steps.of(at_steps), {"layer": spread_evenly(distinct(table, "layer"))}
    how = f"{n_prompts(table)}; the rest up to 1 is of the single clip"
    grid = _by_weights(title, how, rows, table, height=1.25, sides="layer {}", sharey=True)
    for panel, where in grid:
        mine = rows_of(at_steps, **where).sort_values("step")
        drawn = [rows_of(mine, statistic=name) for name in COMPONENTS]
        colours, heights = [_COLOURS[name] for name in COMPONENTS], [_height(share) for share in drawn]
        panel.stackplot(
            drawn[0]["step"].to_numpy(int), heights, colors=colours, labels=COMPONENTS, linewidth=0
        )
        _overtaking(panel, rows_of(table, statistic=OVERTAKING, unit="step", **where), steps)
    grid.axes[0, 0].set_ylim(bottom=0)
    grid.step_axis(steps)
    grid.legend(4)
    return grid.figure


def _overtaking(axes: Axes, rows: pd.DataFrame, steps: Steps) -> None:
    """Mark the step at which history overtakes text, and say it."""
    text, found = "neither is established", rows.dropna(subset=["estimate"])
    if len(found):
        row, inside = found.iloc[0], np.flatnonzero(steps.complete)
        text = "history overtakes text " + str(row["reading"]).split(" (")[0]
        if inside[0] < row["estimate"] <= inside[-1]:
            axes.axvspan(row["ci_lo"], row["ci_hi"], color="0.5", alpha=0.3, linewidth=0)
            axes.axvline(row["estimate"], color="black", linewidth=1)
    box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1}
    say(axes, text, 0.98, 0.92, ha="right", va="top", fontsize=7, bbox=box, zorder=4)


@styled
def text_maps(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw the shares of text (above) and history, layer × step, and where history overtakes text.

    Each panel has a colour scale of its own.
    """
    title, at_steps = f"Where text and history are in the states, {model}", rows_of(table, over="steps")
    if at_steps.empty:
        return _nothing(table, title)
    layers, steps, rows = sorted(distinct(table, "layer")), Steps.of(at_steps), {"statistic": [TEXT, HISTORY]}
    line = "line: the step at which history overtakes text, dotted its interval"
    how = f"{how_tested(rows_of(at_steps, statistic=TEXT))}\n{line}"
    grid = _by_weights(title, how, rows, table, height=2.0, sides=["layer"] * 2)
    for panel, where in grid:
        mine = rows_of(at_steps, **where)
        image = draw_estimates(panel, mine, layers, steps, (0, largest(mine, floor=1e-6)), SEQUENTIAL)
        _overtaking_line(panel, rows_of(table, weights=where["weights"]), layers)
        grid.figure.colorbar(image, ax=panel, label=f"share of {where['statistic']}", pad=0.01)
    grid.step_axis(steps)
    return grid.figure


def _overtaking_line(axes: Axes, table: pd.DataFrame, layers: list[int]) -> None:
    rows = rows_of(table, statistic=OVERTAKING, unit="step").dropna(subset=["estimate"])
    y = pd.Index(layers).get_indexer(rows["layer"].tolist()) + np.array([[-0.45], [0.45]])
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
    probes = rows_of(table, statistic=list(_PROBES))
    tested = probes.dropna(subset=["estimate"])
    if tested.empty:
        return _nothing(probes, title)
    how = f"{how_tested(tested, f'filled: p ≤ {ALPHA}')}; {intervals(tested, 'bars')}"
    sides = ["balanced accuracy", LENGTH]
    grid = _by_weights(title, textwrap.fill(how, 90), {"row": range(2)}, table, height=2.2, sides=sides)
    for (upper, lower), weights in zip(grid.axes.T, distinct(table, "weights"), strict=True):
        mine = rows_of(table, weights=weights)
        _points(upper, mine, _PROBES, 0.1, hollow=True)
        _points(lower, mine, {LENGTH: "black"}, 0, hollow=False)
    grid.zero(float(tested["chance"].iloc[0]), row=0)
    grid.name_x("layer", distinct(table, "layer"))
    grid.axes[1, 0].set_ylim(bottom=0)
    _legend(grid.axes[0])
    return grid.figure


@styled
def likelihood_matrix(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw what each text costs the codes of each emotion, codes × text.

    One column per distribution; each panel has a colour scale of its own.
    """
    title = f"Does another emotion's text make the clip's own tokens less likely? {model}"
    matrix, mismatch = rows_of(table, statistic=COST), rows_of(table, statistic=MISMATCH)
    if matrix.empty:
        return _nothing(table, title)
    how = f"nats per token more than under the own text; {how_tested(mismatch, marked='')}"
    rows, columns = ({name: distinct(matrix, name)} for name in ("weights", "distribution"))
    look = {"panel": (4.6, 2.3), "sharex": False, "sharey": False, "tops": []}
    grid = Grid(title, how, rows, columns, sides="codes made for", **look)
    for panel, where in grid:
        _matrix(panel, rows_of(matrix, **where))
        found = rows_of(mismatch, codebook=ALL, window="whole", **where).iloc[0]
        weights = f"{_WEIGHTS[where['weights']]}, " if len(rows["weights"]) > 1 else ""
        panel.set_title(f"{weights}{where['distribution']}\nmismatch {_said(found)}")
    grid.name_x("read under the text")
    return grid.figure


def _said(found: pd.Series) -> str:
    """Say an estimate with what it has of an interval and a p."""
    estimate, low, high, p = found[["estimate", "ci_lo", "ci_hi", "p_corrected"]].astype(float)
    ends = "" if np.isnan(low) else f" ({low:.3f} … {high:.3f})"
    return f"{estimate:.3f}{ends}" + ("" if np.isnan(p) else f", p = {p:.2g}")


def _matrix(axes: Axes, rows: pd.DataFrame) -> None:
    codes, texts = distinct(rows, "codes"), distinct(rows, "text_read")
    values = rows["estimate"].to_numpy(float).reshape(len(codes), len(texts))
    limit = float(np.abs(values).max()) or 1.0
    axes.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(texts)), map(short, texts), rotation=30, ha="right")
    axes.set_yticks(range(len(codes)), map(short, codes))
    for (i, j), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        shown = f"{value:.2f}".replace("-0.00", "0.00")
        axes.text(j, i, shown, ha="center", va="center", fontsize=7, color=colour)

"""Scree with parallel analysis, the plane of the first two components, and paths through it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.figures.drawing.grid import Grid, say
from innerear.figures.drawing.style import BRANCH_COLOURS, LabelColours, dot, markers, styled
from innerear.figures.drawing.tables import (
    distinct,
    n_clips,
    n_prompts,
    rows_of,
    spread_evenly,
    why_not_tested,
)
from innerear.gram.reading import GramSource

MAX_LAYERS = 4
SHOWN = 12  # components of a scree


def draw(
    samples: pd.DataFrame, table: pd.DataFrame, scores: Mapping[int, GramSource], *, model: str, contrast: str
) -> dict[str, Figure]:
    """Draw the figures of `innerear.analyses.components`; `scores` are its open arrays by layer."""
    return {
        "scree": scree(table, model=model),
        "pca_plane": component_plane(scores, table, samples, model=model, contrast=contrast),
        "trajectories": trajectories(scores, samples, model=model, contrast=contrast),
    }


@styled
def scree(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw explained variance by component, and what unrelated dimensions give.

    One row per layer (four at most, spread evenly), one column per branch.
    """
    rows = {"layer": spread_evenly(distinct(table, "layer"), MAX_LAYERS)}
    title, sides = f"Principal components of the clip averages, {model}", "layer {}\n% of variance"
    columns = {"branch": distinct(table, "branch")}
    grid = Grid(title, _how_tested(table), rows, columns, panel=(2.9, 1.7), sides=sides)
    for panel, where in grid:
        components = rows_of(table, **where).sort_values("component").head(SHOWN)
        _draw_scree(panel, components, BRANCH_COLOURS.get(where["branch"], "black"))
    for panel in grid.axes[:, 0]:
        panel.set_ylim(bottom=0)
    grid.name_x("component")
    return grid.figure


def _how_tested(table: pd.DataFrame) -> str:
    tested, n = table.dropna(subset=["p"]), n_prompts(table)
    if tested.empty:
        return f"{n}; not tested ({why_not_tested(table)})"
    shuffles = f"{distinct(tested, 'n_perm')[0]} shuffles"
    return f"{n}; grey: median to 95 % of {shuffles},\n{distinct(tested, 'null')[0]}"


def _draw_scree(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    component, n = rows["component"].to_numpy(int), distinct(rows, "n_components")[0]
    low, high, share = 100 * rows[["null_median", "null_95", "estimate"]].to_numpy(float).T
    axes.fill_between(component, low, high, color="0.75", linewidth=0)
    axes.plot(component, high, color="0.5", linewidth=0.8)
    axes.plot(component, share, "-", color="black", linewidth=0.8)
    axes.plot(component[:n], share[:n], "o", color=colour, markersize=4)
    axes.plot(component[n:], share[n:], "o", color="black", markerfacecolor="white", markersize=4)
    verdict = "not tested" if rows["p"].isna().to_numpy().all() else f"{n} beyond chance"
    say(axes, verdict, 0.97, 0.93, ha="right", va="top", fontsize=9)
    axes.set_xticks(range(1, SHOWN + 1, 3))


@styled
def component_plane(
    scores: Mapping[int, GramSource],
    table: pd.DataFrame,
    samples: pd.DataFrame,
    *,
    model: str,
    contrast: str = "emotion",
) -> Figure:
    """Draw the samples in the plane of components 1 and 2; see `draw`.

    One row per branch, one column per layer (four at most). The marker is the template.
    """
    title = f"Samples in the plane of the first two components, {model}"
    grid = _planes(scores, title, f"{n_clips(samples)}; averages of whole clips")
    labels, templates = LabelColours(samples[contrast].to_numpy()), samples["template"].astype(str).to_numpy()
    shapes = markers(templates.tolist())
    for panel, where in grid:
        values = scores[where["layer"]].read("scores", branch=where["branch"])  # [N, components]
        for template, shape in shapes.items():
            mine = templates == template
            x, y = values[mine, :2].T
            panel.scatter(x, y, s=12, c=labels.colours[mine], marker=shape, alpha=0.8, linewidths=0)
        share = rows_of(table, **where).set_index("component")["estimate"]
        panel.set_xlabel(f"PC 1 ({share.get(1, 0):.0%})", labelpad=1)
        panel.set_ylabel(f"PC 2 ({share.get(2, 0):.0%})", labelpad=1)
    of_templates = [dot(name, marker=shape) for name, shape in shapes.items()]
    labels.explain(grid.figure, grid.axes, contrast, of_templates if len(shapes) > 1 else ())
    return grid.figure


@styled
def trajectories(
    scores: Mapping[int, GramSource], samples: pd.DataFrame, *, model: str, contrast: str = "emotion"
) -> Figure:
    """Draw how prompts move through the plane of components 1 and 2; see `draw`.

    One row per branch, one column per layer (four at most). Thin: a prompt's mean over seeds; thick:
    the mean of the prompts of a label, from the hollow dot to the full one. Ratings have no thick lines.
    """
    first = scores[min(scores)]
    of_prompts = samples.astype({"prompt_id": str}).drop_duplicates("prompt_id").set_index("prompt_id")
    of_prompts = of_prompts.loc[first.labels("prompt"), contrast]
    labels, seconds = LabelColours(of_prompts.to_numpy()), first.read("bin_seconds")
    thick = f"; thick: mean of {contrast}" if labels.named else ""
    title = f"Prompt-mean trajectories in the plane of the clip averages, {model}"
    times = f"{len(seconds)} bins from {seconds[0]:.1f} s (hollow) to {seconds[-1]:.1f} s (full dot)"
    grid = _planes(scores, title, f"n: {len(of_prompts)} prompts; {times}{thick}")
    for panel, where in grid:
        paths = scores[where["layer"]].read("trajectories", branch=where["branch"])[..., :2]  # [P, bins, 2]
        for path, colour in zip(paths, labels.colours, strict=True):
            panel.plot(*path.T, color=colour, linewidth=0.5, alpha=0.45)
        for name, colour in labels.named.items():
            _draw_mean(panel, paths[(of_prompts.astype(str) == name).to_numpy()].mean(axis=0), colour)
        panel.set_xlabel("PC 1", labelpad=1)
        panel.set_ylabel("PC 2", labelpad=1)
    labels.explain(grid.figure, grid.axes, contrast, linewidth=2)
    return grid.figure


def _draw_mean(axes: Axes, path: np.ndarray, colour: str) -> None:
    axes.plot(*path.T, color="white", linewidth=3)
    axes.plot(*path.T, color=colour, linewidth=1.8)
    axes.plot(*path[0], "o", color=colour, markersize=5, markerfacecolor="white", markeredgewidth=1.5)
    axes.plot(*path[-1], "o", color=colour, markersize=5, markeredgewidth=1.5)


def _planes(scores: Mapping[int, GramSource], title: str, how: str) -> Grid:
    """Make a grid of branches × layers without ticks: a component's unit is the model's own."""
    layers = spread_evenly(scores, MAX_LAYERS)
    rows, look = {"branch": scores[layers[0]].labels("branch")}, {"sharex": False, "sharey": False}
    grid = Grid(title, how, rows, {"layer": layers}, panel=(2.4, 2.1), sides=[], tops=[], **look)
    for panel, where in grid:
        panel.set(title="{branch}, layer {layer}".format(**where), xticks=[], yticks=[])
    return grid

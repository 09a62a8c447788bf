"""Scree with parallel analysis, the plane of the first two components, and paths through it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from innerear.figures.maps import distinct, name_grid, rows_of, spread_evenly, why_not_tested
from innerear.figures.style import BRANCH_COLOURS, LabelColours, markers, new_figure, styled
from innerear.gram.reading import GramSource

MAX_LAYERS = 4
SHOWN = 12  # components of a scree


def draw(
    samples: pd.DataFrame,
    table: pd.DataFrame,
    scores: Mapping[int, GramSource],
    *,
    model: str,
    contrast: str,
) -> dict[str, Figure]:
    """Draw all figures of `innerear.analyses.components`, by file name.

    Parameters
    ----------
    samples : the sample sheet, in the order of the scores.
    table : the tables of all layers, joined.
    scores : layer → its open file of arrays.
    model, contrast : for the titles; the contrast is the column of `samples` that colours stand for.
    """
    return {
        "scree": scree(table, model=model),
        "pca_plane": component_plane(scores, table, samples, model=model, contrast=contrast),
        "trajectories": trajectories(scores, samples, model=model, contrast=contrast),
    }


@styled
def scree(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw explained variance by component, and what unrelated dimensions give.

    Returns
    -------
    One row per layer (four at most, spread evenly), one column per branch.
    """
    layers, branches = spread_evenly(distinct(table, "layer"), MAX_LAYERS), distinct(table, "branch")
    figure, axes = new_figure(
        len(layers),
        len(branches),
        title=f"Principal components of the clip averages, {model}",
        subtitle=_how_tested(table),
        panel=(2.9, 1.7),
        sharex=True,
        sharey="row",
    )
    for row, layer in enumerate(layers):
        for column, branch in enumerate(branches):
            rows = rows_of(table, layer=layer, branch=branch).sort_values("component")
            _draw_scree(axes[row, column], rows.head(SHOWN), BRANCH_COLOURS.get(branch, "black"))
        axes[row, 0].set_ylim(bottom=0)
    name_grid(axes, branches, [f"layer {layer}\n% of variance" for layer in layers])
    for panel in axes[-1]:
        panel.set_xlabel("component")
    return figure


def _how_tested(table: pd.DataFrame) -> str:
    tested = table.iloc[np.flatnonzero(np.isfinite(table["p"].to_numpy(float)))]
    n = f"n: {distinct(table, 'n_prompts')[0]} prompts"
    if tested.empty:
        return f"{n}; not tested ({why_not_tested(table)})"
    shuffles = f"{distinct(tested, 'n_perm')[0]} shuffles"
    return f"{n}; grey: median to 95 % of {shuffles},\n{distinct(tested, 'null')[0]}"


def _draw_scree(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    component, n = rows["component"].to_numpy(int), distinct(rows, "n_components")[0]
    low, high, share = (100 * rows[name].to_numpy(float) for name in ("null_median", "null_95", "estimate"))
    axes.fill_between(component, low, high, color="0.75", linewidth=0)
    axes.plot(component, high, color="0.5", linewidth=0.8)
    axes.plot(component, share, "-", color="black", linewidth=0.8)
    axes.plot(component[:n], share[:n], "o", color=colour, markersize=4)
    axes.plot(component[n:], share[n:], "o", color="black", markerfacecolor="white", markersize=4)
    tested = np.isfinite(rows["p"].to_numpy(float)).any()
    verdict = f"{n} beyond chance" if tested else "not tested"
    axes.text(0.97, 0.93, verdict, transform=axes.transAxes, ha="right", va="top")
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
    """Draw the samples in the plane of components 1 and 2; parameters are those of `draw`.

    Returns
    -------
    One row per branch, one column per layer (four at most). The marker is the template.
    """
    n = f"n: {samples['prompt_id'].nunique()} prompts × {samples['seed'].nunique()} seeds"
    figure, axes, panels = _planes(
        scores,
        f"Samples in the plane of the first two components, {model}",
        f"{n}; averages of whole clips",
    )
    labels = LabelColours(samples[contrast].to_numpy())
    templates = np.array([str(name) for name in samples["template"]])
    shapes = markers(templates.tolist())
    for (branch, layer), panel in panels.items():
        values = scores[layer].read("scores", branch=branch)  # [N, components]
        for template, shape in shapes.items():
            mine = templates == template
            x, y = values[mine, :2].T
            panel.scatter(x, y, s=12, c=labels.colours[mine], marker=shape, alpha=0.8, linewidths=0)
        rows = rows_of(table, layer=layer, branch=branch).set_index("component")["estimate"]
        panel.set_xlabel(f"PC 1 ({rows.get(1, 0):.0%})", labelpad=1)
        panel.set_ylabel(f"PC 2 ({rows.get(2, 0):.0%})", labelpad=1)
    of_templates = [
        Line2D([], [], marker=shape, linestyle="", color="0.4", label=name) for name, shape in shapes.items()
    ]
    labels.explain(figure, axes, contrast, of_templates if len(shapes) > 1 else ())
    return figure


@styled
def trajectories(
    scores: Mapping[int, GramSource], samples: pd.DataFrame, *, model: str, contrast: str = "emotion"
) -> Figure:
    """Draw how prompts move through the plane of components 1 and 2; parameters are those of `draw`.

    Returns
    -------
    One row per branch, one column per layer (four at most). Thin: a prompt's mean over seeds; thick:
    the mean of the prompts of a label, from the hollow dot to the full one. Ratings have no thick lines.
    """
    first = scores[min(scores)]
    of_prompts = samples.astype({"prompt_id": str}).drop_duplicates("prompt_id").set_index("prompt_id")
    of_prompts = of_prompts.loc[first.labels("prompt"), contrast]
    labels = LabelColours(of_prompts.to_numpy())
    thick = f"; thick: mean of {contrast}" if labels.named else ""
    seconds = first.read("bin_seconds")
    figure, axes, panels = _planes(
        scores,
        f"Prompt-mean trajectories in the plane of the clip averages, {model}",
        f"n: {len(of_prompts)} prompts; {len(seconds)} bins from {seconds[0]:.1f} s (hollow) "
        f"to {seconds[-1]:.1f} s (full dot){thick}",
    )
    for (branch, layer), panel in panels.items():
        paths = scores[layer].read("trajectories", branch=branch)[..., :2]  # [P, bins, 2]
        for path, colour in zip(paths, labels.colours, strict=True):
            panel.plot(*path.T, color=colour, linewidth=0.5, alpha=0.45)
        for name, colour in labels.named.items():
            _draw_mean(panel, paths[(of_prompts.astype(str) == name).to_numpy()].mean(axis=0), colour)
        panel.set_xlabel("PC 1", labelpad=1)
        panel.set_ylabel("PC 2", labelpad=1)
    labels.explain(figure, axes, contrast, linewidth=2)
    return figure


def _draw_mean(axes: Axes, path: np.ndarray, colour: str) -> None:
    axes.plot(*path.T, color="white", linewidth=3)
    axes.plot(*path.T, color=colour, linewidth=1.8)
    axes.plot(*path[0], "o", color=colour, markersize=5, markerfacecolor="white", markeredgewidth=1.5)
    axes.plot(*path[-1], "o", color=colour, markersize=5, markeredgewidth=1.5)


def _planes(
    scores: Mapping[int, GramSource], title: str, subtitle: str
) -> tuple[Figure, np.ndarray, dict[tuple[str, int], Axes]]:
    """Make a figure with a titled panel per branch (row) and layer (column), without ticks.

    A component's unit is the model's own.
    """
    layers = spread_evenly(list(scores), MAX_LAYERS)
    branches = scores[layers[0]].labels("branch")
    figure, axes = new_figure(len(branches), len(layers), title=title, subtitle=subtitle, panel=(2.4, 2.1))
    places = [(branch, layer) for branch in branches for layer in layers]
    for (branch, layer), panel in zip(places, axes.flat, strict=True):
        panel.set(title=f"{branch}, layer {layer}", xticks=[], yticks=[])
    return figure, axes, dict(zip(places, axes.flat, strict=True))

"""Similarity matrices, the five strata over the steps, and the map of the emotion effect."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from innerear.analyses.similarity import CORRELATIONS, TESTED
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
from innerear.figures.style import BRANCHES, DIVERGING, new_figure, step_axis, styled
from innerear.gram.reading import GramSource

MAX_LAYERS = 6
MAX_BLOCKS = 12
# Colour says whose pairs, dashes say another seed.
_CURVES = {
    "same prompt, other seed": ("#000000", "--"),
    "same emotion, same seed": ("#D55E00", "-"),
    "same emotion, other seed": ("#D55E00", "--"),
    "other emotion, same seed": ("#0072B2", "-"),
    "other emotion, other seed": ("#0072B2", "--"),
}


@styled
def similarity_matrices(
    matrices: Mapping[int, GramSource],
    samples: pd.DataFrame,
    *,
    model: str,
    measure: str = "centred",
    window: str = "whole",
    contrast: str = "emotion",
) -> Figure:
    """Draw cosine matrices of all pairs of samples, ordered contrast → prompt → seed.

    Parameters
    ----------
    matrices : layer -> its open file of `LayerSimilarity.arrays`.
    samples : the sample sheet, in the order of the matrices.
    model : for the title.
    measure, window : which matrices; the raw measure is named a diagnostic in the title.
    contrast : the column of `samples` that comes first in the order.

    Returns
    -------
    One row per branch, one column per layer (six at most, spread evenly). Lines part the labels.
    """
    layers = spread_evenly(list(matrices), MAX_LAYERS)
    first = matrices[layers[0]]
    branches = [str(name) for name in first.coords("branch")]
    where = {"measure": _position(first, "measure", measure), "window": _position(first, "window", window)}
    order, labels = _order(samples, contrast)
    values = {layer: matrices[layer].read("matrices", **where)[:, order][:, :, order] for layer in layers}
    limit = _limit(np.array(list(values.values()))) if "raw" not in measure else 1.0
    figure, axes = new_figure(
        len(branches),
        len(layers),
        title=f"{measure.capitalize()} cosine between samples of {model}, mean of {_named(window)}",
        subtitle=f"n: {samples['prompt_id'].nunique()} prompts × {samples['seed'].nunique()} seeds, "
        f"ordered {contrast} → prompt → seed",
        panel=(1.75, 1.65),
    )
    image = None
    for row, branch in enumerate(branches):
        for column, layer in enumerate(layers):
            panel = axes[row, column]
            image = panel.imshow(
                values[layer][row], cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest"
            )
            _mark_blocks(panel, labels, left=column == 0, below=row == len(branches) - 1)
            if row == 0:
                panel.set_title(f"layer {layer}")
            if column == 0:
                panel.set_ylabel(branch)
    if image is not None:
        figure.colorbar(image, ax=axes, label="cosine", shrink=0.5, pad=0.01, extend="max")
    return figure


def _position(source: GramSource, axis: str, name: str) -> int:
    return [str(one) for one in source.coords(axis)].index(name)


def _named(window: str) -> str:
    return {
        "whole": "the whole clip",
        "first_10": "the first 10 % of steps",
        "last_10": "the last 10 % of steps",
    }.get(window, window)


def _order(samples: pd.DataFrame, contrast: str) -> tuple[np.ndarray, list[str]]:
    """Order samples by label (ratings from low to high, names as they come), prompt and seed."""
    labels, prompts = samples[contrast], pd.factorize(samples["prompt_id"])[0]
    order = np.lexsort(
        [samples["seed"].to_numpy(), prompts, pd.factorize(labels, sort=is_numeric_dtype(labels))[0]]
    )
    return order, [str(label) for label in labels.to_numpy()[order]]


def _limit(values: np.ndarray) -> float:
    """Colour limit that the diagonal of ones does not set."""
    off = ~np.eye(values.shape[-1], dtype=bool)
    return float(max(np.nanquantile(np.abs(values[..., off]), 0.995), 0.05))


def _mark_blocks(axes: Axes, labels: Sequence[str], *, left: bool, below: bool) -> None:
    """Part the labels by lines, and name them; of more than `MAX_BLOCKS` name the first and the last."""
    edges = [i for i in range(1, len(labels)) if labels[i] != labels[i - 1]]
    crowded = len(edges) >= MAX_BLOCKS
    for edge in [] if crowded else edges:
        axes.axhline(edge - 0.5, color="black", linewidth=0.6)
        axes.axvline(edge - 0.5, color="black", linewidth=0.6)
    starts = [0, *edges]
    middles = [(a + b - 1) / 2 for a, b in zip(starts, [*edges, len(labels)], strict=True)]
    names = [labels[start] for start in starts]
    if crowded:
        middles, names = [middles[0], middles[-1]], [names[0], names[-1]]
    axes.set_xticks(middles, names if below else [""] * len(names), rotation=45, ha="right", fontsize=7)
    axes.set_yticks(middles, names if left else [""] * len(names), fontsize=7)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


@styled
def strata_curves(table: pd.DataFrame, *, model: str, measure: str = "centred") -> Figure:
    """Draw the mean cosine of each stratum of pairs over the steps, with bootstrap bands.

    Parameters
    ----------
    table : rows of `similarity_map`.
    model : for the title.
    measure : which cosine; the raw one is named a diagnostic in the title.

    Returns
    -------
    One row per layer (six at most, spread evenly), one column per branch.
    """
    table = rows_of(table, measure=measure, over="steps")
    layers, branches = spread_evenly(distinct(table, "layer"), MAX_LAYERS), distinct(table, "branch")
    steps = Steps.of(table)
    figure, axes = new_figure(
        len(layers),
        len(branches),
        title=f"{measure.capitalize()} cosine in five strata of pairs, {model}",
        subtitle=_bands(table),
        panel=(3.2, 1.5),
        sharex=True,
        sharey="row",
    )
    for row, layer in enumerate(layers):
        for column, branch in enumerate(branches):
            panel = axes[row, column]
            _draw_curves(panel, rows_of(table, layer=layer, branch=branch))
            step_axis(panel, steps.seconds, steps.complete, bottom=row == len(layers) - 1, top=row == 0)
            if row == 0:
                panel.set_title(BRANCHES.get(branch, branch))
            if column == 0:
                panel.set_ylabel(f"layer {layer}\ncosine")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    return figure


def _bands(table: pd.DataFrame) -> str:
    """Say what the bands are, and why curves have none."""
    told = distinct(table, "interval")
    bands = [text for text in told if not text.startswith("none: ")]
    text = f"n: {distinct(table, 'n_prompts')[0]} prompts; bands: {', '.join(bands) or 'none'}"
    lacking = any("resamples" in one for one in told)
    return text + "\nno band where too many resamples hold no such pairs" * lacking


def _draw_curves(axes: Axes, table: pd.DataFrame) -> None:
    axes.axhline(0, color="0.7", linewidth=0.6)
    for name, (colour, dashes) in _CURVES.items():
        rows = rows_of(table, statistic=name).sort_values("step")
        step = rows["step"].to_numpy(float)
        axes.fill_between(
            step,
            rows["ci_lo"].to_numpy(float),
            rows["ci_hi"].to_numpy(float),
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
        axes.plot(step, rows["estimate"].to_numpy(float), dashes, color=colour, linewidth=1, label=name)


@styled
def effect_map(table: pd.DataFrame, *, model: str, measure: str = "centred") -> Figure:
    """Draw the effect of the labels, layer × step, same and other seed; what is not significant is hatched.

    Parameters
    ----------
    table : rows of `similarity_map`, whose `p_corrected` is over layers × steps.
    model : for the title.
    measure : a tested one, ``"centred"`` or ``"standardised"``.

    Returns
    -------
    One row per effect (for ratings, their correlation), one column per branch.
    """
    table = rows_of(table, measure=measure, over="steps")
    table = table.iloc[np.flatnonzero(np.isin(table["statistic"].to_numpy(str), TESTED))]
    layers, steps = sorted(distinct(table, "layer")), Steps.of(table)
    branches, effects = distinct(table, "branch"), distinct(table, "statistic")
    limit = max(np.abs(table["estimate"].to_numpy(float)[np.isfinite(table["estimate"])]), default=1.0)
    rated = effects[0] in CORRELATIONS
    of_rating = f"Correlation of {measure} cosine with nearness of ratings, {model}"
    of_emotion = f"Emotion effect in {measure} cosine, {model}: same emotion − other emotion"
    figure, axes = new_figure(
        len(effects),
        len(branches),
        title=of_rating if rated else of_emotion,
        subtitle=how_tested(table),
        panel=(3.3, 1.9),
    )
    image = None
    for row, effect in enumerate(effects):
        for column, branch in enumerate(branches):
            panel = axes[row, column]
            rows = rows_of(table, statistic=effect, branch=branch)
            image = draw_map(
                panel,
                by_layer_and_step(rows, "estimate", layers, steps),
                layers,
                steps,
                limits=(-limit, limit),
                colours=DIVERGING,
                p=by_layer_and_step(rows, "p_corrected", layers, steps),
                outer=(column == 0, row == len(effects) - 1, row == 0),
            )
            if not np.isfinite(rows["estimate"].to_numpy(float)).any():
                reason = textwrap.fill(why_not_tested(rows), 32)
                panel.text(0.5, 0.5, reason, transform=panel.transAxes, ha="center", va="center", fontsize=8)
            if row == 0:
                panel.set_title(BRANCHES.get(branch, branch))
            if column == 0:
                panel.set_ylabel(f"{effect.split(', ')[1]}\nlayer")
    if image is not None:
        figure.colorbar(image, ax=axes, label="r" if rated else "difference of mean cosines", pad=0.01)
    return figure

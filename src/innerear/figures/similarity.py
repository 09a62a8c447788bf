"""Similarity matrices, the five strata over the steps, and the map of the label's effect."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from innerear.analyses.similarity import CENTRED, CORRELATIONS, RAW, STANDARDISED, TESTED
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
    why_not_tested,
)
from innerear.figures.style import DIVERGING, new_figure, step_axis, styled
from innerear.gram.reading import GramSource
from innerear.statistics.design import STRATA

MAX_BLOCKS = 12
# Colour says whose pairs, dashes say another seed.
_LINES = ("#000000", "--"), ("#AA4499", "-"), ("#AA4499", "--"), ("#117733", "-"), ("#117733", "--")
_CURVES = dict(zip(STRATA.values(), _LINES, strict=True))


def draw(
    samples: pd.DataFrame,
    table: pd.DataFrame,
    matrices: Mapping[int, GramSource],
    *,
    model: str,
    contrast: str,
) -> dict[str, Figure]:
    """Draw all figures of `innerear.analyses.similarity`, by file name.

    Parameters
    ----------
    samples : the sample sheet, in the order of the matrices.
    table : the map of all layers.
    matrices : layer → its open file of arrays.
    model, contrast : for the titles; samples are ordered by the contrast.
    """
    measures = {"matrices": CENTRED, "standardised": STANDARDISED, "raw": RAW}
    figures = {
        f"similarity_{name}": similarity_matrices(
            matrices, samples, model=model, measure=measure, contrast=contrast
        )
        for name, measure in measures.items()
    }
    curves, effect = strata_curves(table, model=model), effect_map(table, model=model)
    return figures | {"similarity_strata": curves, "emotion_effect": effect}


@styled
def similarity_matrices(
    matrices: Mapping[int, GramSource],
    samples: pd.DataFrame,
    *,
    model: str,
    measure: str = CENTRED,
    contrast: str = "emotion",
) -> Figure:
    """Draw cosine matrices of all pairs of samples, ordered contrast → prompt → seed.

    Parameters
    ----------
    matrices, samples, model, contrast : see `draw`.
    measure : which cosine; the title calls the raw one a diagnostic.

    Returns
    -------
    One row per branch, one column per layer (six at most, spread evenly). Lines separate the labels.
    """
    layers = spread_evenly(list(matrices), MAX_LAYERS)
    branches = matrices[layers[0]].labels("branch")
    order, labels = _order(samples, contrast)
    values = {
        layer: matrices[layer].read("matrices", measure=measure, window="whole")[:, order][:, :, order]
        for layer in layers
    }
    limit = _limit(np.array(list(values.values()))) if measure != RAW else 1.0
    title = f"{measure.capitalize()} cosine between samples of {model}, mean of the whole clip"
    n = f"n: {samples['prompt_id'].nunique()} prompts × {samples['seed'].nunique()} seeds"
    subtitle, panel = f"{n}, ordered {contrast} → prompt → seed", (1.75, 1.65)
    figure, axes = new_figure(len(branches), len(layers), title=title, subtitle=subtitle, panel=panel)
    image = None
    for (row, column), panel in np.ndenumerate(axes):
        image = panel.imshow(
            values[layers[column]][row], cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest"
        )
        _mark_blocks(panel, labels, left=column == 0, below=row == len(branches) - 1)
    name_grid(axes, [f"layer {layer}" for layer in layers], branches)
    if image is not None:
        figure.colorbar(image, ax=axes, label="cosine", shrink=0.5, pad=0.01, extend="max")
    return figure


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
    """Separate the labels by lines and name them; of more than `MAX_BLOCKS` name the first and the last."""
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
def strata_curves(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw the mean cosine of each stratum of pairs over the steps, with bootstrap bands.

    Returns
    -------
    One row per layer (six at most, spread evenly), one column per branch.
    """
    table = rows_of(table, measure=CENTRED, over="steps")
    layers, branches = spread_evenly(distinct(table, "layer"), MAX_LAYERS), distinct(table, "branch")
    steps = Steps.of(table)
    look = {"subtitle": _bands(table), "panel": (3.2, 1.5), "sharex": True, "sharey": "row"}
    title = f"Centred cosine in five strata of pairs, {model}"
    figure, axes = new_figure(len(layers), len(branches), title=title, **look)
    for (row, column), panel in np.ndenumerate(axes):
        mine = rows_of(table, layer=layers[row], branch=branches[column])
        panel.axhline(0, color="0.7", linewidth=0.6)
        for name, (colour, dashes) in _CURVES.items():
            curve = rows_of(mine, statistic=name).sort_values("step")
            draw_band(panel, curve["step"].to_numpy(float), curve, colour, dashes, name)
        step_axis(panel, steps.seconds, steps.complete, bottom=row == len(layers) - 1, top=row == 0)
    name_grid(axes, branches, [f"layer {layer}\ncosine" for layer in layers])
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    return figure


def _bands(table: pd.DataFrame) -> str:
    """Say what the bands are, and why curves have none."""
    intervals = distinct(table, "interval")
    bands = [text for text in intervals if not text.startswith("none: ")]
    text = f"n: {distinct(table, 'n_prompts')[0]} prompts; bands: {', '.join(bands) or 'none'}"
    lacking = any("resamples" in one for one in intervals)
    return text + "\nno band where too many resamples hold no such pairs" * lacking


@styled
def effect_map(table: pd.DataFrame, *, model: str) -> Figure:
    """Draw the effect of the labels, layer × step, same and other seed; what is not significant is hatched.

    Returns
    -------
    One row per effect (for ratings, their correlation), one column per branch.
    """
    table = rows_of(table, measure=CENTRED, over="steps")
    table = table.iloc[np.flatnonzero(np.isin(table["statistic"].to_numpy(str), TESTED))]
    branches, effects, steps = distinct(table, "branch"), distinct(table, "statistic"), Steps.of(table)
    limit = max(np.abs(table["estimate"].to_numpy(float)[np.isfinite(table["estimate"])]), default=1.0)
    rated = effects[0] in CORRELATIONS
    of_rating = f"Correlation of centred cosine with nearness of ratings, {model}"
    of_emotion = f"Emotion effect in centred cosine, {model}: same emotion − other emotion"
    title, how = of_rating if rated else of_emotion, how_tested(table)
    figure, axes = new_figure(len(effects), len(branches), title=title, subtitle=how, panel=(3.3, 1.9))
    image = None
    for row, effect in enumerate(effects):
        mine, outer = rows_of(table, statistic=effect), (row == len(effects) - 1, row == 0)
        image = draw_map_row(
            axes[row], mine, branches, steps, limits=(-limit, limit), colours=DIVERGING, outer=outer
        )
        for panel, branch in zip(axes[row], branches, strict=True):
            _say_why_not(panel, rows_of(mine, branch=branch))
    name_grid(axes, branches, [f"{effect.split(', ')[1]}\nlayer" for effect in effects])
    if image is not None:
        figure.colorbar(image, ax=axes, label="r" if rated else "difference of mean cosines", pad=0.01)
    return figure


def _say_why_not(axes: Axes, rows: pd.DataFrame) -> None:
    """Write on a panel without estimates why there are none."""
    if not np.isfinite(rows["estimate"].to_numpy(float)).any():
        reason = textwrap.fill(why_not_tested(rows), 32)
        axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", fontsize=8)

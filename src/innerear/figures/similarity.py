"""Similarity matrices, the five strata over the steps, and the map of the label's effect."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from innerear.analyses.similarity import CENTRED, CORRELATIONS, RAW, STANDARDISED, TESTED
from innerear.figures.drawing.grid import Grid, draw_band, say_why_not
from innerear.figures.drawing.maps import Steps, draw_estimates
from innerear.figures.drawing.style import DIVERGING, short, styled
from innerear.figures.drawing.tables import (
    distinct,
    how_tested,
    largest,
    n_and_bands,
    n_clips,
    rows_of,
    spread_evenly,
)
from innerear.gram.reading import GramSource
from innerear.statistics.design import STRATA

MAX_BLOCKS = 12
# Colour says whose pairs, dashes say another seed.
_LINES = ("#000000", "--"), ("#AA4499", "-"), ("#AA4499", "--"), ("#117733", "-"), ("#117733", "--")
_CURVES = dict(zip(STRATA.values(), _LINES, strict=True))
_MEASURES = {"matrices": CENTRED, "standardised": STANDARDISED, "raw": RAW}


def draw(
    samples: pd.DataFrame,
    table: pd.DataFrame,
    matrices: Mapping[int, GramSource],
    *,
    model: str,
    contrast: str,
) -> dict[str, Figure]:
    """Draw the figures of `innerear.analyses.similarity`; `matrices` are its open arrays by layer."""
    figures = {
        f"similarity_{name}": similarity_matrices(
            matrices, samples, model=model, measure=measure, contrast=contrast
        )
        for name, measure in _MEASURES.items()
    }
    named = {"model": model, "contrast": contrast}
    curves, effect = strata_curves(table, **named), effect_map(table, **named)
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

    `measure` is which cosine; the title calls the raw one a diagnostic. One row per branch, one column per
    layer (six at most, spread evenly). Lines separate the labels.
    """
    layers = spread_evenly(matrices)
    branches = matrices[layers[0]].labels("branch")
    drawn = samples.loc[samples["sample_id"].isin(matrices[layers[0]].labels("sample"))]
    order, labels = _order(drawn, contrast)
    values = {
        layer: matrices[layer].read("matrices", measure=measure, window="whole")[:, order][:, :, order]
        for layer in layers
    }
    limit = _limit(np.array(list(values.values()))) if measure != RAW else 1.0
    title = f"{measure.capitalize()} cosine between samples of {model}, mean of the whole clip"
    how = f"{n_clips(samples)}, ordered {contrast} → prompt → seed"
    if len(drawn) < len(samples):
        how += f"; {len(drawn):,} of them are drawn"
    look = {"panel": (1.75, 1.65), "tops": "layer {}", "sharey": True}
    grid = Grid(title, how, {"branch": branches}, {"layer": layers}, **look)
    for panel, where in grid:
        matrix = values[where["layer"]][branches.index(where["branch"])]
        panel.imshow(matrix, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest")
        _mark_blocks(panel, labels)
    # No cosine is above 1.
    grid.bar("cosine", shrink=0.5, extend="max" if limit < 1 else "neither")
    return grid.figure


def _order(samples: pd.DataFrame, contrast: str) -> tuple[np.ndarray, list[str]]:
    """Order samples by label (ratings from low to high, names as they come), prompt and seed."""
    labels, prompts = samples[contrast], pd.factorize(samples["prompt_id"])[0]
    codes = pd.factorize(labels, sort=is_numeric_dtype(labels))[0]
    order = np.lexsort([samples["seed"].to_numpy(), prompts, codes])
    return order, [str(label) for label in labels.to_numpy()[order]]


def _limit(values: np.ndarray) -> float:
    """Colour limit that the diagonal of ones does not set."""
    off = ~np.eye(values.shape[-1], dtype=bool)
    return float(max(np.nanquantile(np.abs(values[..., off]), 0.995), 0.05))


def _mark_blocks(axes: Axes, labels: Sequence[str]) -> None:
    """Separate the labels by lines and name them; of more than `MAX_BLOCKS` name the first and the last."""
    edges = [i for i in range(1, len(labels)) if labels[i] != labels[i - 1]]
    starts = [0, *edges]
    middles = [(a + b - 1) / 2 for a, b in zip(starts, [*edges, len(labels)], strict=True)]
    if len(edges) >= MAX_BLOCKS:
        edges, starts, middles = [], [starts[0], starts[-1]], [middles[0], middles[-1]]
    for edge in edges:
        axes.axhline(edge - 0.5, color="black", linewidth=0.6)
        axes.axvline(edge - 0.5, color="black", linewidth=0.6)
    names = [short(labels[start]) for start in starts]
    axes.set_xticks(middles, names, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(middles, names, fontsize=7)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


@styled
def strata_curves(table: pd.DataFrame, *, model: str, contrast: str = "emotion") -> Figure:
    """Draw the mean cosine of each stratum of pairs over the steps, with bootstrap bands.

    One row per layer (six at most, spread evenly), one column per branch. A stratum that the design does not
    have, as where no two templates share a seed, is left out.
    """
    table = rows_of(table, measure=CENTRED, over="steps")
    rows, columns = {"layer": spread_evenly(distinct(table, "layer"))}, {"branch": distinct(table, "branch")}
    lacking = any("resamples" in one for one in distinct(table, "interval"))
    how = n_and_bands(table) + "\nno band where too many resamples hold no such pairs" * lacking
    there = distinct(table.iloc[np.flatnonzero(table["estimate"].notna())], "statistic")
    title, look = f"Centred cosine by stratum of pairs, {model}", {"sides": "layer {}\ncosine"}
    grid = Grid(title, how, rows, columns, panel=(3.2, 1.5), **look)
    grid.zero()
    for panel, where in grid:
        for name, (colour, dashes) in (item for item in _CURVES.items() if item[0] in there):
            said = name.replace("emotion", contrast)
            draw_band(panel, rows_of(table, statistic=name, **where), "step", colour, dashes, said)
    grid.step_axis(Steps.of(table))
    grid.legend(3)
    return grid.figure


@styled
def effect_map(table: pd.DataFrame, *, model: str, contrast: str = "emotion") -> Figure:
    """Draw the effect of the labels that is tested, layer × step; what is not significant is hatched.

    One row per effect (for ratings, their correlation), one column per branch.
    """
    table = rows_of(table, measure=CENTRED, over="steps", statistic=list(TESTED))
    tested = table.iloc[np.flatnonzero(table["p"].notna())]
    table = rows_of(table, statistic=distinct(tested, "statistic")) if len(tested) else table
    effects, layers, steps = distinct(table, "statistic"), sorted(distinct(table, "layer")), Steps.of(table)
    rated, limit = effects[0] in CORRELATIONS, largest(table)
    of_rating = f"Correlation of centred cosine with nearness of ratings, {model}"
    of_label = f"Effect of {contrast} in centred cosine, {model}: same {contrast} − other {contrast}"
    rows, columns = {"statistic": effects}, {"branch": distinct(table, "branch")}
    sides = [f"{effect.split(', ')[1]}\nlayer" for effect in effects]
    title = of_rating if rated else of_label
    grid = Grid(title, how_tested(table), rows, columns, panel=(3.3, 1.9), sides=sides)
    for panel, where in grid:
        mine = rows_of(table, **where)
        draw_estimates(panel, mine, layers, steps, (-limit, limit), DIVERGING)
        say_why_not(panel, mine, 32)
    grid.step_axis(steps)
    grid.bar("r" if rated else "difference of mean cosines")
    return grid.figure

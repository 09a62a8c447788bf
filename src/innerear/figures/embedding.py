"""UMAP of samples per layer and branch, and of samples over time."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from innerear.analyses.embedding import BINS, SAMPLES
from innerear.figures.maps import rows_of, spread_evenly
from innerear.figures.style import LabelColours, new_figure, styled
from innerear.gram.reading import GramSource

MAX_LAYERS = 6


@styled
def embedded_samples(
    places: GramSource, table: pd.DataFrame, samples: pd.DataFrame, *, model: str, contrast: str = "emotion"
) -> Figure:
    """Draw the clip averages of every branch (row) and layer (column; six at most, spread evenly).

    Parameters
    ----------
    places : an open file of `Embedding.arrays`; the first seed is drawn.
    table : `Embedding.table`.
    samples : the sample sheet, in the order of the places.
    model : for the title.
    contrast : the column of `samples` that colours stand for.
    """
    n = f"n: {samples['prompt_id'].nunique()} prompts × {samples['seed'].nunique()} seeds"
    return _grid(places, table, samples, f"UMAP of clip averages, {model}", n, SAMPLES, contrast)


@styled
def embedded_bins(
    places: GramSource, table: pd.DataFrame, samples: pd.DataFrame, *, model: str, contrast: str = "emotion"
) -> Figure:
    """Draw every sample at its time bins, of every branch (row) and layer (column; six at most).

    Parameters are those of `embedded_samples`. Late bins are larger than early ones. Without bins the
    figure says so.
    """
    title = f"UMAP of samples × time bins, {model}"
    if "bins" not in places:
        return new_figure(title=title, subtitle="the study has no time bins (gram.bins: 0)")[0]
    seconds = places.read("bin_seconds")
    n = f"n: {samples['prompt_id'].nunique()} prompts × {samples['seed'].nunique()} seeds"
    n += f" × {len(seconds)} bins, {seconds[0]:.1f} s (small) to {seconds[-1]:.1f} s (large)"
    return _grid(places, table, samples, title, n, BINS, contrast)


def _grid(
    places: GramSource,
    table: pd.DataFrame,
    samples: pd.DataFrame,
    title: str,
    n: str,
    points: str,
    contrast: str,
) -> Figure:
    name = "samples" if points == SAMPLES else "bins"
    every = [int(layer) for layer in places.coords("layer")]
    layers, branches = spread_evenly(every, MAX_LAYERS), [str(one) for one in places.coords("branch")]
    figure, axes = new_figure(
        len(branches),
        len(layers),
        title=title,
        subtitle=f"{n}\nDistances, sizes and gaps are not to be read\n"
        f"one seed of {len(places.coords('umap_seed'))}; T: trustworthiness, range over seeds",
        panel=(1.9 if len(layers) > 3 else 2.4, 1.9),
    )
    labels = LabelColours(samples[contrast].to_numpy())
    for row, branch in enumerate(branches):
        for column, layer in enumerate(layers):
            where = {"layer": every.index(layer), "branch": row, "umap_seed": 0}
            xy = places.read(name, **where).reshape(len(samples), -1, 2)  # [N, bins or 1, 2]
            sizes = np.linspace(1, 10, xy.shape[1]) if xy.shape[1] > 1 else np.array([10.0])
            axes[row, column].scatter(
                *xy.reshape(-1, 2).T,
                s=np.tile(sizes, len(xy)),
                c=np.repeat(labels.colours, xy.shape[1], axis=0),
                alpha=0.7,
                linewidths=0,
            )
            scores = rows_of(table, layer=layer, branch=branch, points=points)["estimate"].to_numpy(float)
            axes[row, column].set_title(f"{branch}, layer {layer}\n{_range(scores)}", fontsize=8)
            axes[row, column].set_xticks([])
            axes[row, column].set_yticks([])
    labels.explain(figure, axes, contrast)
    return figure


def _range(scores: np.ndarray) -> str:
    return f"T {scores.min():.2f}–{scores.max():.2f}" if np.isfinite(scores).all() else "not drawn"

"""UMAP of samples, and of samples over time, by layer and branch."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from innerear.analyses.embedding import BINS, SAMPLES
from innerear.figures.maps import MAX_LAYERS, rows_of, spread_evenly
from innerear.figures.style import LabelColours, new_figure, styled
from innerear.gram.reading import GramSource


def draw(
    samples: pd.DataFrame, table: pd.DataFrame, places: GramSource, *, model: str, contrast: str
) -> dict[str, Figure]:
    """Draw all figures of `innerear.analyses.embedding`, by file name.

    Parameters
    ----------
    samples : the sample sheet, in the order of the places.
    table, places : table and arrays of `embedding`; the first seed is drawn.
    model, contrast : for the titles; the contrast is the column of `samples` that colours stand for.

    Returns
    -------
    ``umap_samples``, the clip averages, and ``umap_bins``, each sample at its time bins, late ones larger.
    One row per branch, one column per layer (six at most, spread evenly).
    """
    seconds = places.read("bin_seconds")
    n = f"n: {samples['prompt_id'].nunique()} prompts × {samples['seed'].nunique()} seeds"
    times = f"{len(seconds)} bins, {seconds[0]:.1f} s (small) to {seconds[-1]:.1f} s (large)"
    named = {"places": places, "table": table, "samples": samples, "contrast": contrast}
    return {
        "umap_samples": _grid(f"UMAP of clip averages, {model}", n, SAMPLES, "samples", **named),
        "umap_bins": _grid(f"UMAP of samples × time bins, {model}", f"{n} × {times}", BINS, "bins", **named),
    }


@styled
def _grid(
    title: str,
    n: str,
    points: str,
    name: str,
    *,
    places: GramSource,
    table: pd.DataFrame,
    samples: pd.DataFrame,
    contrast: str,
) -> Figure:
    branches = places.labels("branch")
    layers = spread_evenly([int(layer) for layer in places.coords("layer")], MAX_LAYERS)
    figure, axes = new_figure(
        len(branches),
        len(layers),
        title=title,
        subtitle=f"{n}\nDistances, sizes and gaps are not to be read\n"
        f"one seed of {len(places.coords('umap_seed'))}; T: trustworthiness, range over seeds",
        panel=(1.9 if len(layers) > 3 else 2.4, 1.9),
    )
    labels = LabelColours(samples[contrast].to_numpy())
    cells = [(branch, layer) for branch in branches for layer in layers]
    for (branch, layer), panel in zip(cells, axes.flat, strict=True):
        xy = places.read(name, layer=str(layer), branch=branch, umap_seed=0)
        xy = xy.reshape(len(samples), -1, 2)  # [N, bins or 1, 2]
        sizes = np.linspace(1, 10, xy.shape[1]) if xy.shape[1] > 1 else np.array([10.0])
        colours = np.repeat(labels.colours, xy.shape[1], axis=0)
        panel.scatter(*xy.reshape(-1, 2).T, s=np.tile(sizes, len(xy)), c=colours, alpha=0.7, linewidths=0)
        scores = rows_of(table, layer=layer, branch=branch, points=points)["estimate"].to_numpy(float)
        drawn = np.isfinite(scores).all()
        trust = f"T {scores.min():.2f}–{scores.max():.2f}" if drawn else "not drawn"
        panel.set_title(f"{branch}, layer {layer}\n{trust}", fontsize=8)
        panel.set(xticks=[], yticks=[])
    labels.explain(figure, axes, contrast)
    return figure

"""UMAP of samples, and of samples over time, by layer and branch."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from innerear.analyses.embedding import BINS, SAMPLES
from innerear.figures.drawing.grid import Grid
from innerear.figures.drawing.style import LabelColours, styled
from innerear.figures.drawing.tables import n_clips, rows_of, spread_evenly
from innerear.gram.reading import GramSource


@styled
def draw(
    samples: pd.DataFrame, table: pd.DataFrame, places: GramSource, *, model: str, contrast: str
) -> dict[str, Figure]:
    """Draw the clip averages, and each sample at its time bins, late ones larger.

    `table` and `places` are table and arrays of `innerear.analyses.embedding`; the first seed is drawn. One
    row per branch, one column per layer (six at most, spread evenly).
    """
    layers = spread_evenly([int(layer) for layer in places.coords("layer")])
    seconds, n, figures = places.read("bin_seconds"), n_clips(samples), {}
    times = f"{len(seconds)} bins, {seconds[0]:.1f} s (small) to {seconds[-1]:.1f} s (large)"
    how = (
        "Distances, sizes and gaps are not to be read\n"
        f"one seed of {len(places.coords('umap_seed'))}; T: trustworthiness, range over seeds"
    )
    rows, columns = {"branch": places.labels("branch")}, {"layer": layers}
    width, look = 1.9 if len(layers) > 3 else 2.4, {"sides": [], "tops": [], "sharex": False, "sharey": False}
    drawn = ("samples", SAMPLES, "clip averages", n), ("bins", BINS, "samples × time bins", f"{n} × {times}")
    for name, points, what, n_points in drawn:
        grid = Grid(
            f"UMAP of {what}, {model}", f"{n_points}\n{how}", rows, columns, panel=(width, 1.9), **look
        )
        labels = LabelColours(samples[contrast].to_numpy())
        for panel, where in grid:
            branch, layer = where["branch"], where["layer"]
            xy = places.read(name, layer=str(layer), branch=branch, umap_seed=0)
            xy = xy.reshape(len(samples), -1, 2)  # [N, bins or 1, 2]
            sizes = np.linspace(1, 10, xy.shape[1]) if xy.shape[1] > 1 else np.array([10.0])
            colours = np.repeat(labels.colours, xy.shape[1], axis=0)
            panel.scatter(*xy.reshape(-1, 2).T, s=np.tile(sizes, len(xy)), c=colours, alpha=0.7, linewidths=0)
            scores = rows_of(table, points=points, **where)["estimate"].to_numpy(float)
            trust = f"T {scores.min():.2f}–{scores.max():.2f}" if np.isfinite(scores).all() else "not drawn"
            panel.set_title(f"{branch}, layer {layer}\n{trust}", fontsize=8)
            panel.set(xticks=[], yticks=[])
        labels.explain(grid.figure, grid.axes, contrast)
        figures[f"umap_{name}"] = grid.figure
    return figures

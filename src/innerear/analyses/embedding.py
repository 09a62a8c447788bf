"""UMAP of samples and of samples × time bins: pictures of neighbourhoods, and how far each can be trusted.

UMAP keeps neighbours together, as far as a plane can. Distances between clusters, their sizes and the gaps
between them follow from its objective and its random start. Every picture is therefore made from several
seeds, and its trustworthiness (Venna & Kaski 2001) is measured: 1 if every neighbour in the plane is one in
the states too.
"""

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.manifold import trustworthiness

from innerear.errors import InputError
from innerear.gram.reading import GramSource, window_products
from innerear.gram.time_bins import bin_seconds
from innerear.io.caches import provide_numba_cache
from innerear.statistics.design import Design
from innerear.statistics.finding import Finding
from innerear.statistics.table import INTERVAL, LayerResult, blank, columns

N_SEEDS = 3
N_NEIGHBORS = 15
#: with fewer points there is no neighbourhood to keep
SMALLEST = 8
SAMPLES, BINS = "samples", "samples × time bins"
# A layout takes time and memory that grow with the square of the points.
_MAX_POINTS = 500
# What UMAP itself takes for large data; its 500 for small data take twice the time.
_EPOCHS = 200


def distances(gram: np.ndarray) -> np.ndarray:
    """Return Euclidean distances [n, n] from inner products [n, n]: d² = |x|² + |y|² − 2 x·y.

    Examples
    --------
    >>> distances(np.array([[9.0, 0.0], [0.0, 16.0]])).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    inner = np.asarray(gram, float)
    squares = np.diag(inner)
    between = np.sqrt(np.maximum(squares[:, None] + squares - (inner + inner.T), 0))
    np.fill_diagonal(between, 0)
    return between


def embed(between: np.ndarray, seed: int) -> tuple[np.ndarray, float, int]:
    """Lay points with distances [n, n] out in the plane by UMAP; the same seed gives the same picture.

    Returns
    -------
    places [n, 2]; their trustworthiness, 0 to 1; and the number of neighbours that both used: 15, or fewer
    than half of the points, beyond which trustworthiness is not defined.

    Raises
    ------
    InputError: fewer than 8 points.
    """
    n = len(between)
    if n < SMALLEST:
        raise InputError(f"UMAP of {n} points: it needs at least {SMALLEST}; add prompts or seeds")
    neighbours = min(N_NEIGHBORS, (n - 1) // 2)
    layout = _umap()(
        n_neighbors=neighbours, n_epochs=_EPOCHS, metric="precomputed", random_state=seed, n_jobs=1
    )
    with warnings.catch_warnings():
        # It warns that no new points can be added to a picture made from distances.
        warnings.filterwarnings("ignore", "using precomputed metric", UserWarning)
        places = np.asarray(layout.fit_transform(between))
    score = trustworthiness(between, places, n_neighbors=neighbours, metric="precomputed")
    return places, float(score), neighbours


def _umap() -> type:
    """Import UMAP here, not above: it takes seconds, and figures import this module for its names alone."""
    provide_numba_cache("umap")
    from umap import UMAP, umap_, utils

    # UMAP keeps none of these, whose compilation takes as long as the layouts of a small study.
    for loop in (utils.fast_knn_indices, umap_.smooth_knn_dist, umap_.compute_membership_strengths):
        loop.enable_caching()
    return UMAP


def embedding(
    grams: Mapping[int, GramSource], design: Design, *, model: str, n_seeds: int = N_SEEDS
) -> LayerResult:
    """Run UMAP on the samples, and on samples × time bins, of every layer and branch.

    Parameters
    ----------
    grams : layer → its open `GramFile` of `design`'s samples, in its order, with time bins.
    n_seeds : pictures of the same points; their seeds are counted from the design's.

    Returns
    -------
    A row per layer, branch, kind of points and seed; `estimate` is the trustworthiness of that picture. And
    arrays without units, NaN where nothing was drawn: `samples` [layer, branch, umap_seed, sample, axis],
    `bins` [layer, branch, umap_seed, sample, bin, axis] and `bin_seconds` [bin], the middle of each bin.

    Samples are clip averages. If samples × bins exceed 500, every k-th bin is drawn. Nothing is tested. Fewer
    than 8 points, or points that are all equal, are not drawn, and `null` says so.

    Raises
    ------
    InputError: a Gram file holds other samples than the design, or in another order.
    """
    for gram in grams.values():
        design.check_order(gram.coords("sample"))
    first, seeds = grams[min(grams)], design.seed + np.arange(n_seeds)
    seconds = bin_seconds(first)
    kept = kept_bins(len(seconds), design.n_samples)
    rows, samples = _pictures(grams, seeds, SAMPLES)
    more, bins = _pictures(grams, seeds, BINS, kept)
    table = blank(pd.DataFrame(rows + more), design, model=model, window="whole", statistic="trustworthiness")
    pictures = ("layer", "branch", "umap_seed")
    bins = bins.reshape(*bins.shape[:3], design.n_samples, len(kept), 2)
    return LayerResult(
        table.reindex(columns=_COLUMNS),
        arrays={
            "samples": ((*pictures, "sample", "axis"), samples),
            "bins": ((*pictures, "sample", "bin", "axis"), bins),
            "bin_seconds": (("bin",), seconds[kept].astype(np.float32)),
        },
        coords={
            "layer": np.array(sorted(grams)),
            "branch": np.array(first.labels("branch")),
            "umap_seed": seeds,
            "sample": np.asarray(first.coords("sample")),
            "axis": np.arange(1, 3),
            "bin": kept,
        },
    )


_COLUMNS = columns(
    *("branch", "window", "points", "umap_seed", "n_neighbors", "n_points", "statistic", *INTERVAL)
).drop(["score", "family"])


def kept_bins(n_bins: int, n_samples: int) -> np.ndarray:
    """Return the numbers of the bins that are drawn: all, or every k-th, at most 500 points but two bins.

    Examples
    --------
    >>> kept_bins(20, 80).tolist()
    [0, 4, 8, 12, 16]
    """
    at_most = max(2, _MAX_POINTS // n_samples)
    return np.arange(0, n_bins, -(-n_bins // at_most))


def _inner(gram: GramSource, branch: str, kept: np.ndarray | None) -> np.ndarray:
    """Inner products of the clip averages, or of these time bins of the samples."""
    if kept is None:
        return window_products(gram, branch)
    bins = gram.read("bin_mean", branch=branch)[kept].astype(float).swapaxes(0, 1)  # [N, kept, D]
    points = bins.reshape(-1, bins.shape[-1])
    return points @ points.T


def _pictures(
    grams: Mapping[int, GramSource], seeds: np.ndarray, points: str, kept: np.ndarray | None = None
) -> tuple[list[dict], np.ndarray]:
    """Draw every layer and branch from every seed: rows of the table, and places [L, C, seeds, n, 2]."""
    rows, drawn = [], []
    branches = grams[min(grams)].labels("branch")
    for layer in sorted(grams):
        for branch in branches:
            between = distances(_inner(grams[layer], branch, kept))
            n, why_not = len(between), ""
            if n < SMALLEST:
                why_not = f"{n} points: UMAP needs at least {SMALLEST}"
            elif not between.any():
                why_not = "all samples are equal (deterministic)"
            row = {"layer": layer, "branch": branch, "points": points, "n_points": n}
            row["null"] = f"none: {why_not or 'a picture, not a test'}"
            for seed in seeds.tolist():
                nothing = np.full((n, 2), np.nan), np.nan, 0
                places, score, neighbours = nothing if why_not else embed(between, seed)
                rows.append(row | {"umap_seed": seed, "estimate": score, "n_neighbors": neighbours})
                drawn.append(places)
    return rows, np.array(drawn, np.float32).reshape(len(grams), len(branches), len(seeds), -1, 2)


FINDINGS = (
    Finding(
        "How well does a plane keep neighbours together?",
        "Over layers and branches, trustworthiness {range} (1: all neighbours are kept).",
        {"points": SAMPLES},
        "umap_samples",
        tested=False,
        unit="trustworthiness",
        meaning="of the median over layers and branches; random places would give about .5",
        aside="Distances and gaps in the picture are not to be read.",
        formula="1 − 2 ÷ (n k (2 n − 3 k − 1)) · Σ (rank − k) over neighbours in the plane that are "
        "none in the states",
    ),
)

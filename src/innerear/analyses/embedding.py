"""UMAP of samples, and of samples over time: pictures of neighbourhoods, with how far each can be trusted.

UMAP keeps who is near whom, as far as a plane can; distances between clusters, their sizes and the gaps
between them follow from its objective and its random start. So every picture is made from several seeds,
and its trustworthiness (Venna & Kaski 2001) is measured: 1 where every neighbour in the plane is one in
the states too.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.manifold import trustworthiness

from innerear.errors import InputError
from innerear.gram.reading import GramSource
from innerear.stacks.gram_file import Arrays, Coords
from innerear.statistics.design import Design

N_SEEDS = 3
N_NEIGHBORS = 15
#: with fewer points there is no neighbourhood to keep
SMALLEST = 8
SAMPLES, BINS = "samples", "samples × time bins"
# A layout takes time and memory that grow with the square of the points: of more, every k-th bin is drawn.
_MAX_POINTS = 500
# What UMAP itself takes for large data; its 500 for small data take twice the time.
_EPOCHS = 200


@dataclass(frozen=True)
class Embedding:
    """What `embedding` returns.

    Attributes
    ----------
    table : trustworthiness, one row per layer, branch, kind of points and seed; common columns.
    arrays, coords : `samples` [layer, branch, umap_seed, sample, axis] and, where the Gram files hold bins,
        `bins` [layer, branch, umap_seed, sample, bin, axis] with `bin_seconds` [bin] (middle of each);
        no units; NaN where nothing could be drawn.
    """

    table: pd.DataFrame
    arrays: Arrays
    coords: Coords


def distances(gram: np.ndarray) -> np.ndarray:
    """Euclidean distances [n, n] from inner products [n, n]: d² = |x|² + |y|² − 2 x·y."""
    inner = np.asarray(gram, float)
    squares = np.diag(inner)
    between = np.sqrt(np.maximum(squares[:, None] + squares - (inner + inner.T), 0))
    np.fill_diagonal(between, 0)
    return between


def embed(between: np.ndarray, seed: int) -> tuple[np.ndarray, float, int]:
    """Lay points out in the plane by UMAP.

    Parameters
    ----------
    between : [n, n] distances.
    seed : of the random start and of the layout; the same seed gives the same picture.

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
    # Here, not above: it compiles for seconds, and who draws the figures needs only names from this module.
    from umap import UMAP

    layout = UMAP(n_neighbors=neighbours, n_epochs=_EPOCHS, metric="precomputed", random_state=seed, n_jobs=1)
    with warnings.catch_warnings():
        # That new points cannot be added to a picture made from distances.
        warnings.filterwarnings("ignore", "using precomputed metric", UserWarning)
        places = np.asarray(layout.fit_transform(between))
    score = trustworthiness(between, places, n_neighbors=neighbours, metric="precomputed")
    return places, float(score), neighbours


def embedding(
    grams: Mapping[int, GramSource], design: Design, *, model: str, n_seeds: int = N_SEEDS
) -> Embedding:
    """Lay out the samples, and the samples over time, of every layer and branch.

    Parameters
    ----------
    grams : layer -> its open `GramFile` of `design`'s samples, in its order.
    design : the samples; the seed that UMAP's seeds are counted from.
    model : for the table's column.
    n_seeds : pictures of the same points.

    Returns
    -------
    See `Embedding`. `estimate` is the trustworthiness of one picture. Samples are clip averages. Where
    samples × bins exceed 500, every k-th bin is drawn. Nothing is tested. Fewer than 8 points, or points
    that are all equal, are not drawn, and `null` says so.

    Raises
    ------
    InputError: a Gram file holds other samples than the design, or in another order.
    """
    for gram in grams.values():
        design.check_order(gram.coords("sample"))
    layers, first = sorted(grams), grams[min(grams)]
    branches, seeds = [str(name) for name in first.coords("branch")], design.seed + np.arange(n_seeds)
    rows, places = _pictures(grams, layers, _samples, seeds, SAMPLES)
    arrays: Arrays = {"samples": (("layer", "branch", "umap_seed", "sample", "axis"), places)}
    coords: Coords = {
        "layer": np.array(layers),
        "branch": np.array(branches),
        "umap_seed": seeds,
        "sample": np.asarray(first.coords("sample")),
        "axis": np.arange(1, 3),
    }
    if "bin_gram" in first:
        kept = kept_bins(len(first.read("bin_steps")), design.n_samples)
        more, places = _pictures(grams, layers, lambda gram, c: _bins(gram, c, kept), seeds, BINS)
        rows += more
        places = places.reshape(*places.shape[:3], design.n_samples, len(kept), 2)
        arrays["bins"] = (("layer", "branch", "umap_seed", "sample", "bin", "axis"), places)
        arrays["bin_seconds"] = (("bin",), _seconds(first)[kept].astype(np.float32))
        coords["bin"] = kept
    table = pd.DataFrame(rows).assign(
        model=model, window="whole", statistic="trustworthiness", n_prompts=design.n_prompts, n_perm=0
    )
    table[["ci_lo", "ci_hi", "p", "p_corrected", "min_p"]] = np.nan
    return Embedding(table.reindex(columns=_COLUMNS), arrays, coords)


_COLUMNS = pd.Index(
    [
        *("model", "layer", "branch", "window", "points", "umap_seed", "n_neighbors", "n_points"),
        *("statistic", "estimate", "ci_lo", "ci_hi"),
        *("p", "p_corrected", "n_prompts", "n_perm", "min_p", "null"),
    ]
)


def kept_bins(n_bins: int, n_samples: int) -> np.ndarray:
    """Return the numbers of the bins that are drawn: all, or every k-th, at most 500 points but two bins."""
    at_most = max(2, _MAX_POINTS // n_samples)
    return np.arange(0, n_bins, -(-n_bins // at_most))


def _samples(gram: GramSource, branch: int) -> np.ndarray:
    whole = [str(name) for name in gram.coords("window")].index("whole")
    return gram.read("window_gram", branch=branch, window=whole)


def _bins(gram: GramSource, branch: int, kept: np.ndarray) -> np.ndarray:
    inner = gram.read("bin_gram", branch=branch)
    n_bins = len(gram.read("bin_steps"))
    points = (np.arange(len(inner) // n_bins)[:, None] * n_bins + kept).ravel()
    return inner[np.ix_(points, points)]


def _seconds(gram: GramSource) -> np.ndarray:
    start, steps, seconds = gram.read("bin_start"), gram.read("bin_steps"), gram.read("seconds")
    return (seconds[start] + seconds[start + steps - 1]) / 2


def _pictures(
    grams, layers: list[int], read, seeds: np.ndarray, points: str
) -> tuple[list[dict], np.ndarray]:
    """Draw every layer and branch from every seed: rows of the table, and places [L, C, seeds, n, 2]."""
    rows: list[dict] = []
    drawn = []
    branches = [str(name) for name in grams[layers[0]].coords("branch")]
    for layer in layers:
        for number, branch in enumerate(branches):
            between = distances(read(grams[layer], number))
            for seed, (places, found) in zip(seeds.tolist(), _from_seeds(between, seeds), strict=True):
                rows.append({"layer": layer, "branch": branch, "points": points, "umap_seed": seed} | found)
                drawn.append(places)
    shape = (len(layers), len(branches), len(seeds), -1, 2)
    return rows, np.array(drawn, np.float32).reshape(shape)


def _from_seeds(between: np.ndarray, seeds: np.ndarray) -> Iterator[tuple[np.ndarray, dict]]:
    n, why_not = len(between), ""
    if n < SMALLEST:
        why_not = f"{n} points: UMAP needs at least {SMALLEST}"
    elif not between.any():
        why_not = "all samples are equal (deterministic)"
    for seed in seeds.tolist():
        places, score, neighbours = np.full((n, 2), np.nan), np.nan, 0
        if not why_not:
            places, score, neighbours = embed(between, seed)
        null = f"none: {why_not or 'a picture, not a test'}"
        yield places, {"estimate": score, "n_neighbors": neighbours, "n_points": n, "null": null}

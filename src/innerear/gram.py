"""One pass over a layer's stacks: everything later analyses need, as inner products between samples.

The features X [N, D] of a step are centred across samples *before* the product. A residual stream's
common mean can hold 99.99 % of its energy; centring a float32 Gram matrix afterwards would subtract
nearly equal numbers and lose what distinguishes the samples. Products are summed in float64. The raw
product is kept as well, in two small pieces (`raw_gram`).
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from os import PathLike
from typing import Protocol

import numpy as np
import pandas as pd

from innerear.coarse import CoarseSteps
from innerear.errors import InputError
from innerear.stacks import Stack

#: reads samples' features: (sample number, slice of steps) -> [C, S, D] as stored
Reader = Callable[[int, slice], np.ndarray]
#: name -> (axes, values), as `GramFile.write` and xarray take it
Arrays = dict[str, tuple[tuple[str, ...], np.ndarray]]
#: axis -> coordinates
Coords = dict[str, np.ndarray]

N_DECILES = 10
# Rows of `bin_gram` computed at once, so that float64 never doubles it.
_ROWS_AT_ONCE = 256


class GramSource(Protocol):
    """What the analyses ask of an open `GramFile`."""

    def read(self, name: str, **where: int | slice) -> np.ndarray:
        """Return a dataset, or the part of it that `where` selects by axis name."""
        ...

    def coords(self, axis: str) -> np.ndarray:
        """Return the coordinates of an axis."""
        ...

    def __contains__(self, name: str) -> bool: ...


def layer_gram(
    read: Reader,
    n_samples: int,
    complete: np.ndarray,
    *,
    branches: Sequence[str] = ("cond", "uncond"),
    n_bins: int = 20,
    steps_per_matrix: int = 1,
    memory_mb: int = 512,
) -> tuple[Arrays, Coords]:
    """Read each stack of a layer once and return its Gram matrices.

    Parameters
    ----------
    read : ``read(i, steps)`` returns sample i's features at these steps, [C, S, D], as stored.
    n_samples : N.
    complete : bool [S]; windows and bins cover the complete steps only.
    branches : names of the C stored branches. With cond and uncond, delta = cond − uncond is
        formed from float32 features and added as a third.
    n_bins : time bins of `bin_gram`; 0 leaves it out.
    steps_per_matrix : complete steps to average before samples are compared, as `CoarseSteps`; an entry of
        the axis ``step`` is then such a group, and its coordinate the group's first step.
    memory_mb : what a block of steps may take, as stored. Beside it stand the results themselves.

    Returns
    -------
    Arrays by name, each with the names of its axes, and the coordinates of each axis, as
    `GramFile.write` takes them. All float32 unless said; every Gram matrix is centred across samples
    and summed in float64.

    - `gram`, `standardised` [branch, step, sample, sample_2]: inner products at each step; cosines
      of features z-scored per dimension, constant dimensions dropped (NaN where all are).
    - `mean_product` [branch, step, sample], `mean_norm` [branch, step]: centred features times the
      mean over samples, and the mean's length, from which `raw_gram` restores the raw products.
    - `window_mean` [branch, window, sample, d_model]; `window_gram`, `window_standardised`
      [branch, window, sample, sample_2]: features averaged over whole, first and last 10 %, deciles.
      Zero and NaN where all of a window's steps are deterministic.
    - `bin_gram` [branch, sample_bin, sample_bin_2], sample_bin = sample × n_bins + bin; centred on
      the mean over samples of the whole window, so that the bins, weighted by `bin_steps`, average
      to the whole window's features.
    - `centred_share` [branch, step]: energy about the mean ÷ all energy. `top3_share`: energy in
      the three largest dimensions ÷ all energy. `deterministic` bool: equal for all samples, up to
      the rounding of the stored dtype.
    - `complete` bool [step]; `step_count` [step]: steps that it averages; `bin_start`, `bin_steps` [bin]:
      first entry on the axis ``step`` and number of entries.

    Raises
    ------
    InputError: fewer than two samples, no complete step, or values that are not finite.
    """
    coarse = CoarseSteps.of(np.asarray(complete, bool), steps_per_matrix)
    read, complete = coarse.reader(read), coarse.complete
    _check(n_samples, complete)
    names = [*branches, *(["delta"] if {"cond", "uncond"} <= set(branches) else [])]
    n_bins = min(n_bins, int(complete.sum()))
    windows = _windows(complete, n_bins)
    edges = sorted({edge for span in windows.values() for edge in span})
    first = read(0, slice(0, 1))
    size = max(1, memory_mb * 2**20 // (n_samples * first.nbytes))
    sums = np.zeros((len(names), len(edges) - 1, n_samples, first.shape[-1]))
    arrays: Arrays = {}
    for start in range(0, len(complete), size):
        block = _read_block(read, n_samples, slice(start, min(start + size, len(complete))), branches)
        # Step by step: a step's features stay in the processor's cache, and float32 never doubles the block.
        for step, stored in enumerate(block, start):
            features = stored.astype(np.float32)
            rounding = _rounding(features, np.finfo(stored.dtype).eps, step)
            if edges[0] <= step < edges[-1]:
                sums[: len(branches), bisect_right(edges, step) - 1] += features
            if len(names) > len(branches):
                features, rounding = _with_delta(features, branches), _with_delta(rounding, branches, np.add)
            for branch in range(len(names)):
                for name, value in _step(features[branch], rounding[branch]).items():
                    if name not in arrays:
                        kind = bool if name == "deterministic" else np.float32
                        whole = np.empty((len(names), len(complete), *np.shape(value)), kind)
                        arrays[name] = (_AXES[name], whole)
                    arrays[name][1][branch, step] = value
    if len(names) > len(branches):
        sums = _with_delta(sums[: len(branches)], branches)
    arrays |= _window_arrays(sums, edges, windows, arrays["deterministic"][1])
    arrays["complete"] = (("step",), complete)
    arrays["step_count"] = (("step",), coarse.counts.astype(np.int32))
    return arrays, _coordinates(arrays, names, windows) | {"step": coarse.starts.astype(np.int32)}


def stacks_gram(
    paths: Sequence[str | PathLike],
    sample_ids: Sequence[str],
    layer: int,
    *,
    site: str = "residual",
    n_bins: int = 20,
    steps_per_matrix: int = 1,
    memory_mb: int = 512,
) -> tuple[Arrays, Coords, dict[str, object]]:
    """Return `layer_gram` of stack files, with sample ids as coordinates and the stacks' provenance.

    Parameters
    ----------
    paths, sample_ids : [N] in the order of every sample axis.
    layer, site : which dataset of each stack.
    steps_per_matrix : complete steps to average before samples are compared.

    Returns
    -------
    arrays, coords, attrs : what `GramFile.write` takes. `seconds` [step] is added to the arrays. The steps
        are `Timeline.analysed`: all of them, but in clips made in several windows.
    """

    with Stack(paths[0]) as first:
        kept = first.timeline.analysed
        complete, seconds = first.complete[kept], first.seconds[kept]
        branches, stored = first.branches, first.attrs

    def read(i: int, steps: slice) -> np.ndarray:
        rows = kept[steps]
        with Stack(paths[i]) as stack:
            states = stack.read(layer, site, slice(rows[0], rows[-1] + 1))
        return states if states.shape[1] == len(rows) else states[:, rows - rows[0]]

    arrays, coords = layer_gram(
        read,
        len(paths),
        complete,
        branches=branches,
        n_bins=n_bins,
        steps_per_matrix=steps_per_matrix,
        memory_mb=memory_mb,
    )
    arrays["seconds"] = (("step",), CoarseSteps.of(complete, steps_per_matrix).average(seconds))
    coords["sample"] = coords["sample_2"] = np.array(sample_ids)
    attrs = {name: stored[name] for name in ("study", "model", "frame_rate") if name in stored}
    return arrays, coords, attrs | {"layer": layer, "site": site}


_AXES = {
    "gram": ("branch", "step", "sample", "sample_2"),
    "standardised": ("branch", "step", "sample", "sample_2"),
    "mean_product": ("branch", "step", "sample"),
    "mean_norm": ("branch", "step"),
    "centred_share": ("branch", "step"),
    "top3_share": ("branch", "step"),
    "deterministic": ("branch", "step"),
}


def _check(n_samples: int, complete: np.ndarray) -> None:
    if n_samples < 2:
        raise InputError(f"a Gram matrix of {n_samples} sample compares nothing: add prompts or seeds")
    if not complete.any():
        raise InputError(
            f"none of the {len(complete)} steps is complete (holds all codebooks): "
            "set generation.duration to at least as many frames as there are codebooks"
        )


def _windows(complete: np.ndarray, n_bins: int) -> dict[str, tuple[int, int]]:
    """Name the windows and give each its first and past-the-last step; bins are called bin_0 …"""
    begin, stop = int(complete.argmax()), int(len(complete) - complete[::-1].argmax())
    windows = {"whole": (begin, stop)}
    n_deciles = N_DECILES if stop - begin >= N_DECILES else 0
    deciles = list(pairwise(np.linspace(begin, stop, n_deciles + 1).round().astype(int).tolist()))
    if deciles:
        windows |= {"first_10": deciles[0], "last_10": deciles[-1]}
    windows |= {f"decile_{i + 1}": span for i, span in enumerate(deciles)}
    edges = np.linspace(begin, stop, n_bins + 1).round().astype(int).tolist()
    return windows | {f"bin_{i}": span for i, span in enumerate(pairwise(edges))}


def _read_block(read: Reader, n_samples: int, steps: slice, branches: Sequence[str]) -> np.ndarray:
    """Return features [S, C, N, D] of some steps, as stored."""
    block, expected = np.empty(0), (0, 0, 0)
    for i in range(n_samples):
        stored = read(i, steps)  # [C, S, D]
        if i == 0:
            expected = (len(branches), *stored.shape[1:])
            block = np.empty((expected[1], expected[0], n_samples, expected[2]), stored.dtype)
        if stored.shape != expected:
            raise InputError(
                f"sample {i} has {stored.shape} branches × steps × dimensions where sample 0 has "
                f"{expected}: all stacks of a study come from one configuration"
            )
        block[:, :, i] = stored.swapaxes(0, 1)
    return block


def _rounding(features: np.ndarray, epsilon: float, step: int) -> np.ndarray:
    """Return by how much equal features [C, N, D] of a step may differ, [C, D]."""
    largest = np.abs(features).max(axis=1)
    if not np.isfinite(largest).all():
        sample = np.flatnonzero(~np.isfinite(features).all(axis=(0, 2)))[0]
        raise InputError(f"sample {sample} holds values that are not finite at step {step}")
    # Two units in the last place as stored, and what float32 arithmetic may differ by between batches.
    return 2 * epsilon * largest + 1e-5 * np.sqrt((largest**2).mean(axis=-1, keepdims=True))


def _with_delta(values: np.ndarray, branches: Sequence[str], combine: Callable = np.subtract) -> np.ndarray:
    """Append cond − uncond, or what else combines them, to the branches of values [C, ...]."""
    delta = combine(values[branches.index("cond")], values[branches.index("uncond")])
    return np.concatenate([values, delta[None]])


def _step(features: np.ndarray, rounding: np.ndarray) -> dict[str, np.ndarray]:
    """Compute one step's results from float32 features [N, D], which are overwritten."""
    mean = _centre(features)  # [D]
    about = np.einsum("nd,nd->d", features, features).astype(float)  # energy about the mean, by dimension
    energy = about + len(features) * mean**2
    total = max(float(energy.sum()), float(np.finfo(np.float32).tiny))
    spread = np.sqrt(about / len(features))
    varies = spread > rounding
    result = {
        "gram": _products(features),
        "mean_product": features @ mean,
        "mean_norm": np.sqrt((mean**2).sum()),
        "centred_share": about.sum() / total,
        "top3_share": np.sort(energy)[-3:].sum() / total,
        "deterministic": ~varies.any(),
    }
    features *= np.where(varies, 1 / np.where(varies, spread, 1), 0).astype(np.float32)
    result["standardised"] = cosine(_products(features))
    return result


def _centre(features: np.ndarray) -> np.ndarray:
    """Subtract from float32 features [N, D], in place, their mean over samples and return it [D]."""
    mean = np.zeros(features.shape[1])
    # The first mean is right but for its rounding, which may exceed the spread; the second takes the rest.
    # A difference in float32 is off by its own last place only, however large the mean.
    for _ in range(2):
        part = features.mean(axis=0)
        features -= part
        mean += part
    return mean


def _products(features: np.ndarray) -> np.ndarray:
    """Inner products [N, N] of float32 features [N, D], summed in float64."""
    wide = features.astype(float)
    return wide @ wide.T


def _window_arrays(
    sums: np.ndarray, edges: list[int], windows: Mapping[str, tuple[int, int]], deterministic: np.ndarray
) -> Arrays:
    """Turn sums [C, E - 1, N, D] between edges [E] into the windows' Gram matrices.

    Zero where every step of a window is `deterministic` [C, S].
    """
    names = [name for name in windows if not name.startswith("bin_")]
    n_branches, _, n_samples, d_model = sums.shape
    shape = (n_branches, len(names), n_samples)
    means, grams, cosines = (np.empty((*shape, n), np.float32) for n in (d_model, n_samples, n_samples))
    for w, name in enumerate(names):
        begin, stop = windows[name]
        for branch in range(n_branches):
            mean = _mean(sums[branch], edges, begin, stop)
            constant = deterministic[branch, begin:stop].all()
            means[branch, w] = mean
            grams[branch, w], cosines[branch, w] = _window(mean, constant)
    square = ("branch", "window", "sample", "sample_2")
    arrays: Arrays = {
        "window_mean": (("branch", "window", "sample", "d_model"), means),
        "window_gram": (square, grams),
        "window_standardised": (square, cosines),
    }
    spans = list(windows.values())[len(names) :]
    if spans:
        bins = [_bin_gram(branch, edges, windows["whole"], spans) for branch in sums]
        arrays["bin_gram"] = (("branch", "sample_bin", "sample_bin_2"), np.stack(bins))
        arrays["bin_start"] = (("bin",), np.array([begin for begin, _ in spans], np.int32))
        arrays["bin_steps"] = (("bin",), np.array([end - begin for begin, end in spans], np.int32))
    return arrays


def _mean(sums: np.ndarray, edges: list[int], begin: int, stop: int) -> np.ndarray:
    """Average over a window's steps: sums [E - 1, N, D] between edges [E] -> [N, D]."""
    return sums[edges.index(begin) : edges.index(stop)].sum(axis=0) / (stop - begin)


def _window(features: np.ndarray, deterministic: np.bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the Gram matrix of a window's features [N, D], and their standardised cosines."""
    centred = np.zeros_like(features) if deterministic else features - features.mean(axis=0)
    scale = centred.std(axis=0)
    constant = scale <= 1e-6 * np.abs(features).max(axis=0)
    scored = centred * np.where(constant, 0, 1 / np.where(constant, 1, scale))
    return centred @ centred.T, cosine(scored @ scored.T)


def _bin_gram(
    sums: np.ndarray, edges: list[int], whole: tuple[int, int], spans: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Return a branch's products about the whole window's mean, float32 [N * bins, N * bins]."""
    centre = _mean(sums, edges, *whole).mean(axis=0)
    bins = np.stack([_mean(sums, edges, *span) - centre for span in spans], axis=1)
    rows = bins.reshape(-1, bins.shape[-1])
    products = np.empty((len(rows), len(rows)), np.float32)
    # The upper triangle, and its mirror image.
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        stop = start + _ROWS_AT_ONCE
        upper = rows[start:stop] @ rows[start:].T
        products[start:stop, start:] = upper
        products[start:, start:stop] = upper.T
    return products


def _coordinates(arrays: Arrays, branches: Sequence[str], windows: Mapping[str, tuple[int, int]]) -> Coords:
    """Name branches and windows, and number all other axes."""
    sizes = {axis: n for axes, values in arrays.values() for axis, n in zip(axes, values.shape, strict=True)}
    coords: Coords = {axis: np.arange(n, dtype=np.int32) for axis, n in sizes.items()}
    names = [name for name in windows if not name.startswith("bin_")]
    return coords | {"branch": np.array(branches), "window": np.array(names)}


def cosine(gram: np.ndarray) -> np.ndarray:
    """Divide Gram matrices [..., N, N] by the lengths of their samples; NaN where a length is 0."""
    length = np.sqrt(np.maximum(np.diagonal(gram, axis1=-2, axis2=-1), 0))
    inverse = np.divide(1, length, out=np.full_like(length, np.nan), where=length > 0)
    return gram * inverse[..., :, None] * inverse[..., None, :]


def raw_gram(gram: np.ndarray, mean_product: np.ndarray, mean_norm: np.ndarray) -> np.ndarray:
    """Restore the raw inner products X Xᵀ [..., N, N] from the pieces that `layer_gram` returns.

    Parameters
    ----------
    gram [..., N, N], mean_product [..., N], mean_norm [...] : of the same steps.
    """
    shift = mean_product[..., :, None] + mean_product[..., None, :]
    return gram + shift + np.square(mean_norm)[..., None, None]


def analysed_cells(gram: GramSource) -> pd.DataFrame:
    """One row per analysed cell: the complete steps (or the first of each group), then the windows."""
    steps = np.flatnonzero(gram.read("complete"))
    first = np.asarray(gram.coords("step"))[steps].tolist()
    windows = [str(name) for name in gram.coords("window")]
    seconds = gram.read("seconds")[steps] if "seconds" in gram else np.full(len(steps), np.nan)
    return pd.DataFrame(
        {
            "over": ["steps"] * len(steps) + ["windows"] * len(windows),
            "step": pd.array([*first, *[None] * len(windows)], dtype="Int64"),
            "seconds": np.r_[seconds, np.full(len(windows), np.nan)],
            "window": [*[""] * len(steps), *windows],
        }
    )


def step_counts(gram: GramSource) -> np.ndarray:
    """Return how many steps each entry of the axis ``step`` averages, [S]."""
    return gram.read("step_count") if "step_count" in gram else np.ones(len(gram.read("complete")), int)

"""One pass over a layer's stacks: everything later analyses need, as inner products between samples.

The features X [N, D] of a step are centred across samples *before* the product. A residual stream's
common mean can hold 99.99 % of its energy; centring a float32 Gram matrix afterwards would subtract
nearly equal numbers and lose what distinguishes the samples. Products are summed in float32 over a few
dimensions at a time, and these sums in float64 (`inner_products`); the few dimensions of most energy, of
which a residual stream has some a thousand times larger than the others, in float64 alone. The raw
product is kept as well, in two small pieces (`raw_gram`).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle
from os import PathLike

import numpy as np

from innerear.errors import InputError
from innerear.gram.reading import cosine, named_windows
from innerear.gram.step_groups import CoarseSteps
from innerear.stacks import LayerReader, Stack
from innerear.stacks.gram_file import Arrays, Coords
from innerear.timeline import chunk_steps

#: reads samples' features: (sample number, slice of steps) -> [C, S, D] as stored
Reader = Callable[[int, slice], np.ndarray]

# Dimensions whose products are summed in float32.
_DIMS_AT_ONCE = 512
# Dimensions of most energy whose products are summed in float64.
_LARGE_DIMS = 8
# Rows of `bin_gram` computed at once, so that float64 never doubles it.
_ROWS_AT_ONCE = 256
# What a block of steps takes, if chunks are not larger: writing into fresh memory takes longer than reading.
_BLOCK_BYTES = 32 * 2**20
# Stacks that stay open over all blocks; the others are opened for each.
_OPEN_AT_ONCE = 128


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
    memory_mb : what two blocks of steps may take, as stored: one is worked on while the next is read, by
        another thread. Beside them stand the results themselves.

    Returns
    -------
    Arrays by name, each with the names of its axes, and the coordinates of each axis, as
    `GramFile.write` takes them. All float32 unless said; every Gram matrix is centred across samples
    before the product, which is summed as `inner_products` says.

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
    epsilon = np.finfo(read(0, slice(0, 1)).dtype).eps
    read, complete = coarse.reader(read), coarse.complete
    _check(n_samples, complete)
    names, weights = _derived(branches)
    windows = named_windows(complete, min(n_bins, int(complete.sum())))
    d_model = read(0, slice(0, 1)).shape[-1]
    sums = _Sums(windows, (len(branches), n_samples, d_model))
    features = np.empty((len(names), n_samples, d_model), np.float32)
    stored = features[: len(branches)]
    arrays: Arrays = {}
    for start, block in _blocks(read, n_samples, len(complete), len(branches), memory_mb):
        # Step by step: a step's features stay in the processor's cache, and float32 never doubles the block.
        for step in range(start, start + len(block)):
            np.copyto(stored, block[step - start])
            rounding = _rounding(stored, epsilon, step)
            mean = stored.mean(axis=1)  # [C, D]
            stored -= mean[:, None]
            sums.add(step, stored, mean)
            if len(names) > len(branches):
                np.subtract(
                    stored[branches.index("cond")], stored[branches.index("uncond")], out=features[-1]
                )
            for name, values in _step(features, weights @ mean, np.abs(weights) @ rounding).items():
                if name not in arrays:
                    kind = bool if name == "deterministic" else np.float32
                    whole = np.empty((len(names), len(complete), *values.shape[1:]), kind)
                    arrays[name] = (_AXES[name], whole)
                arrays[name][1][:, step] = values
    arrays |= _window_arrays(sums, weights, windows, arrays["deterministic"][1])
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

    with ExitStack() as opened:
        readers: dict[int, LayerReader] = {}

        def read(i: int, steps: slice) -> np.ndarray:
            rows = kept[steps]
            span = slice(rows[0], rows[-1] + 1)
            if i in readers:
                states = readers[i].read(span)
            elif i < _OPEN_AT_ONCE:
                readers[i] = opened.enter_context(LayerReader(paths[i], layer, site))
                states = readers[i].read(span)
            else:
                with LayerReader(paths[i], layer, site) as reader:
                    states = reader.read(span)
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


def _derived(branches: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Name the branches, delta included, and give each as a sum of the stored ones: float32 [all, C]."""
    names, weights = list(branches), np.eye(len(branches), dtype=np.float32)
    if not {"cond", "uncond"} <= set(branches):
        return names, weights
    return [*names, "delta"], np.vstack(
        [weights, weights[names.index("cond")] - weights[names.index("uncond")]]
    )


def _blocks(
    read: Reader, n_samples: int, n_steps: int, n_branches: int, memory_mb: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first step and the features [S, C, N, D] of each block of steps, as stored.

    The next block is read meanwhile; the one after it overwrites what was yielded.
    """
    first = read(0, slice(0, 1))
    size = _steps_at_once(n_steps, n_samples * first.nbytes, memory_mb)
    shape = (n_branches, n_samples, first.shape[-1])
    rooms = cycle([np.empty((size, *shape), first.dtype), np.empty((size, *shape), first.dtype)])

    def fill(room: np.ndarray, start: int) -> np.ndarray:
        block = room[: n_steps - start]
        expected = (n_branches, len(block), shape[-1])
        for i in range(n_samples):
            states = read(i, slice(start, start + len(block)))
            if states.shape != expected:
                raise InputError(
                    f"sample {i} has {states.shape} branches × steps × dimensions where sample 0 has "
                    f"{expected}: all stacks of a study come from one configuration"
                )
            block[:, :, i] = states.swapaxes(0, 1)
        return block

    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(fill, next(rooms), 0)
        for start in range(0, n_steps, size):
            block = coming.result()
            if start + size < n_steps:
                coming = ahead.submit(fill, next(rooms), start + size)
            yield start, block


def _steps_at_once(n_steps: int, step_bytes: int, memory_mb: int) -> int:
    """Return how many steps to read at a time: whole chunks of them, if two blocks fit the memory."""
    chunk = chunk_steps(n_steps)
    most = max(1, memory_mb * 2**20 // (2 * step_bytes))
    size = min(most, max(chunk, _BLOCK_BYTES // step_bytes))
    return min(n_steps, size // chunk * chunk or size)


def _rounding(features: np.ndarray, epsilon: float, step: int) -> np.ndarray:
    """Return by how much equal features [C, N, D] of a step may differ, [C, D]."""
    largest = np.abs(features).max(axis=1)
    if not np.isfinite(largest).all():
        sample = np.flatnonzero(~np.isfinite(features).all(axis=(0, 2)))[0]
        raise InputError(f"sample {sample} holds values that are not finite at step {step}")
    # Two units in the last place as stored, and what float32 arithmetic may differ by between batches.
    return 2 * epsilon * largest + 1e-5 * np.sqrt((largest**2).mean(axis=-1, keepdims=True))


def _step(features: np.ndarray, mean: np.ndarray, rounding: np.ndarray) -> dict[str, np.ndarray]:
    """Compute one step's results from float32 features [C, N, D] about their mean [C, D]; overwrites them."""
    n_samples = features.shape[1]
    # The mean is right but for its rounding, which may exceed the spread: what it left.
    rest = np.full(n_samples, 1 / n_samples, np.float32) @ features
    mean = mean.astype(float) + rest
    about = np.einsum("cnd,cnd->cd", features, features) - n_samples * rest.astype(float) ** 2
    about = np.maximum(about, 0)  # energy about the mean, by dimension
    energy = about + n_samples * mean**2
    total = np.maximum(energy.sum(axis=1), np.finfo(np.float32).tiny)
    spread = np.sqrt(about / n_samples)
    varies = spread > rounding
    along = (features @ mean.astype(np.float32)[..., None])[..., 0]
    largest, large = _set_aside(features, about)
    result = {
        "gram": _centred(inner_products(features) + large @ large.swapaxes(-1, -2)),
        "mean_product": along - along.mean(axis=1, keepdims=True),
        "mean_norm": np.sqrt((mean**2).sum(axis=1)),
        "centred_share": about.sum(axis=1) / total,
        "top3_share": np.partition(energy, -3, axis=1)[:, -3:].sum(axis=1) / total,
        "deterministic": ~varies.any(axis=1),
    }
    np.put_along_axis(features, largest, large.astype(np.float32), axis=-1)
    features *= np.where(varies, 1 / np.where(varies, spread, 1), 0).astype(np.float32)[:, None]
    result["standardised"] = cosine(_centred(inner_products(features)))
    return result


def _set_aside(features: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Set the dimensions of most energy [..., D] to 0 in features [..., N, D]; return which and their values.

    In a sum with them, float32 would round off what the others add.
    """
    n_large = min(_LARGE_DIMS, features.shape[-1])
    largest = np.argpartition(energy, -n_large, axis=-1)[..., None, -n_large:]
    values = np.take_along_axis(features, largest, axis=-1).astype(float)
    np.put_along_axis(features, largest, 0, axis=-1)
    return largest, values


def inner_products(features: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    """Return the inner products of float32 rows [..., N, D] with one another, or with others: float64.

    Summed in float32 over 512 dimensions at a time, and over these parts in float64: whatever the width, the
    error stays below 512 × 2⁻²⁴ = 3e-5 of the product of the rows' lengths, and near 4e-7 of it in practice.
    """
    others = features if others is None else others
    products = np.zeros((*features.shape[:-1], others.shape[-2]))
    for start in range(0, features.shape[-1], _DIMS_AT_ONCE):
        dims = slice(start, start + _DIMS_AT_ONCE)
        products += features[..., dims] @ others[..., dims].swapaxes(-1, -2)
    return products


def _centred(products: np.ndarray) -> np.ndarray:
    """Take from inner products [..., N, N], in place, what a small mean of their rows adds to them."""
    shift = products.mean(axis=-1)
    shift -= shift.mean(axis=-1, keepdims=True) / 2
    products -= shift[..., :, None]
    products -= shift[..., None, :]
    return products


class _Sums:
    """Features summed between the windows' edges: about each step's mean over samples, and these means.

    About the mean, float32 is enough, however much the samples have in common.
    """

    def __init__(self, windows: Mapping[str, tuple[int, int]], shape: tuple[int, int, int]) -> None:
        n_branches, n_samples, d_model = shape
        self.edges = sorted({edge for span in windows.values() for edge in span})
        self.centred = np.zeros((n_branches, len(self.edges) - 1, n_samples, d_model), np.float32)
        self.mean = np.zeros((n_branches, len(self.edges) - 1, d_model))

    def add(self, step: int, centred: np.ndarray, mean: np.ndarray) -> None:
        """Add a step's features [C, N, D] about their mean [C, D], if it lies in a window."""
        if self.edges[0] <= step < self.edges[-1]:
            interval = bisect_right(self.edges, step) - 1
            self.centred[:, interval] += centred
            self.mean[:, interval] += mean

    def average(self, weights: np.ndarray, begin: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Average a window of branches that are sums of the stored ones, by `weights` [all, C].

        Returns features [all, N, D] about their mean over samples, and the mean [all, D].
        """
        between = slice(self.edges.index(begin), self.edges.index(stop))
        weights = weights / (stop - begin)
        centred = np.tensordot(weights, self.centred[:, between].sum(axis=1, dtype=float), 1)
        rest = centred.mean(axis=1)
        centred -= rest[:, None]
        return centred, weights @ self.mean[:, between].sum(axis=1) + rest


def _window_arrays(
    sums: _Sums, weights: np.ndarray, windows: Mapping[str, tuple[int, int]], deterministic: np.ndarray
) -> Arrays:
    """Turn sums into the windows' Gram matrices, of each branch that `weights` [C, stored] gives.

    Zero where every step of a window is `deterministic` [C, S].
    """
    names = [name for name in windows if not name.startswith("bin_")]
    n_samples, d_model = sums.centred.shape[2:]
    shape = (len(weights), len(names), n_samples)
    means, grams, cosines = (np.empty((*shape, n), np.float32) for n in (d_model, n_samples, n_samples))
    for w, name in enumerate(names):
        begin, stop = windows[name]
        centred, mean = sums.average(weights, begin, stop)
        means[:, w] = centred + mean[:, None]
        for branch in range(len(weights)):
            constant = deterministic[branch, begin:stop].all()
            grams[branch, w], cosines[branch, w] = _window(centred[branch], mean[branch], constant)
    square = ("branch", "window", "sample", "sample_2")
    arrays: Arrays = {
        "window_mean": (("branch", "window", "sample", "d_model"), means),
        "window_gram": (square, grams),
        "window_standardised": (square, cosines),
    }
    spans = list(windows.values())[len(names) :]
    if spans:
        bins = _bin_grams(sums, weights, windows["whole"], spans)
        arrays["bin_gram"] = (("branch", "sample_bin", "sample_bin_2"), bins)
        arrays["bin_start"] = (("bin",), np.array([begin for begin, _ in spans], np.int32))
        arrays["bin_steps"] = (("bin",), np.array([end - begin for begin, end in spans], np.int32))
    return arrays


def _window(centred: np.ndarray, mean: np.ndarray, deterministic: np.bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the Gram matrix of a window's features [N, D] about their mean [D], and standardised cosines."""
    if deterministic:
        centred = np.zeros_like(centred)
    scale = centred.std(axis=0)
    constant = scale <= 1e-6 * np.abs(centred + mean).max(axis=0)
    scored = centred * np.where(constant, 0, 1 / np.where(constant, 1, scale))
    return centred @ centred.T, cosine(scored @ scored.T)


def _bin_grams(
    sums: _Sums, weights: np.ndarray, whole: tuple[int, int], spans: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Return the branches' products about the whole window's mean, float32 [C, N * bins, N * bins]."""
    centre = sums.average(weights, *whole)[1]
    n_samples, d_model = sums.centred.shape[2:]
    bins = np.empty((len(weights), n_samples, len(spans), d_model), np.float32)
    for b, span in enumerate(spans):
        centred, mean = sums.average(weights, *span)
        bins[:, :, b] = centred + (mean - centre)[:, None]
    rows = bins.reshape(len(weights), -1, d_model)
    _, large = _set_aside(rows, np.einsum("cnd,cnd->cd", rows, rows))
    products = np.empty((len(weights), rows.shape[1], rows.shape[1]), np.float32)
    # The upper triangle, and its mirror image.
    for start in range(0, rows.shape[1], _ROWS_AT_ONCE):
        stop = start + _ROWS_AT_ONCE
        for features, wide, result in zip(rows, large, products, strict=True):
            upper = inner_products(features[start:stop], features[start:])
            upper += wide[start:stop] @ wide[start:].T
            result[start:stop, start:] = upper
            result[start:, start:stop] = upper.T
    return products


def _coordinates(arrays: Arrays, branches: Sequence[str], windows: Mapping[str, tuple[int, int]]) -> Coords:
    """Name branches and windows, and number all other axes."""
    sizes = {axis: n for axes, values in arrays.values() for axis, n in zip(axes, values.shape, strict=True)}
    coords: Coords = {axis: np.arange(n, dtype=np.int32) for axis, n in sizes.items()}
    names = [name for name in windows if not name.startswith("bin_")]
    return coords | {"branch": np.array(branches), "window": np.array(names)}

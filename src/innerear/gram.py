"""One pass over a layer's stacks: everything later analyses need, as inner products between samples.

The features X [N, D] of a step are centred across samples *before* the product. A residual stream's
common mean can hold 99.99 % of its energy; centring a float32 Gram matrix afterwards would subtract
nearly equal numbers and lose what distinguishes the samples. Products are summed in float64. The raw
product is kept as well, in two small pieces (`raw_gram`).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from os import PathLike
from typing import Protocol

import numpy as np

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
_ROWS_AT_ONCE = 1024


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
    memory_mb : what a block of steps may take. Beside it stand the results themselves.

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
    - `complete` bool [step]; `bin_start`, `bin_steps` [bin]: first step and number of steps.

    Raises
    ------
    InputError: fewer than two samples, no complete step, or values that are not finite.
    """
    complete = np.asarray(complete, bool)
    _check(n_samples, complete)
    names = [*branches, *(["delta"] if {"cond", "uncond"} <= set(branches) else [])]
    n_bins = min(n_bins, int(complete.sum()))
    windows = _windows(complete, n_bins)
    first = read(0, slice(0, 1))
    size = _block_size(n_samples, first.shape[-1], len(names), memory_mb)
    sums = np.zeros((len(names), len(windows), n_samples, first.shape[-1]))
    arrays: Arrays = {}
    for start in range(0, len(complete), size):
        steps = slice(start, min(start + size, len(complete)))
        features, rounding = _read_block(read, n_samples, steps, branches)
        _add_windows(sums, features, windows, start)
        for name, values in _block(features, rounding).items():
            if name not in arrays:
                whole = np.empty((len(names), len(complete), *values.shape[2:]), values.dtype)
                arrays[name] = (_AXES[name], whole)
            arrays[name][1][:, steps] = values
    means = sums / np.array([stop - begin for begin, stop in windows.values()])[:, None, None]
    arrays |= _window_arrays(means, windows, _without_variance(arrays["deterministic"][1], windows))
    arrays["complete"] = (("step",), complete)
    return arrays, _coordinates(arrays, names, windows)


def stacks_gram(
    paths: Sequence[str | PathLike],
    sample_ids: Sequence[str],
    layer: int,
    *,
    site: str = "residual",
    n_bins: int = 20,
    memory_mb: int = 512,
) -> tuple[Arrays, Coords, dict[str, object]]:
    """Return `layer_gram` of stack files, with sample ids as coordinates and the stacks' provenance.

    Parameters
    ----------
    paths, sample_ids : [N] in the order of every sample axis.
    layer, site : which dataset of each stack.

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
        read, len(paths), complete, branches=branches, n_bins=n_bins, memory_mb=memory_mb
    )
    arrays["seconds"] = (("step",), seconds)
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


def _block_size(n_samples: int, d_model: int, n_branches: int, memory_mb: int) -> int:
    # The block, and about as much again for what is derived from it.
    per_step = n_samples * d_model * n_branches * 4 * 2
    return max(1, memory_mb * 2**20 // per_step)


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


def _read_block(
    read: Reader, n_samples: int, steps: slice, branches: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return features [C, S, N, D] in float32, delta last, and the rounding [C, S, D] of stored values."""
    block, shape, epsilon = np.empty(0, np.float32), (0, 0, 0, 0), 0.0
    has_delta = {"cond", "uncond"} <= set(branches)
    for i in range(n_samples):
        stored = read(i, steps)  # [C, S, D]
        if i == 0:
            shape = (len(branches) + has_delta, stored.shape[1], n_samples, stored.shape[2])
            block, epsilon = np.empty(shape, np.float32), float(np.finfo(stored.dtype).eps)
        if stored.shape != (len(branches), shape[1], shape[3]):
            raise InputError(
                f"sample {i} has {stored.shape} branches × steps × dimensions where sample 0 has "
                f"{(len(branches), shape[1], shape[3])}: all stacks of a study come from one configuration"
            )
        block[: len(branches), :, i] = stored
        if not np.isfinite(stored).all():
            raise InputError(
                f"sample {i} holds values that are not finite at steps {steps.start}–{steps.stop - 1}"
            )
    stored = block[: len(branches)]
    # Two units in the last place as stored, and what float32 arithmetic may differ by between batches.
    largest = np.abs(stored).max(axis=2)  # [C, S, D]
    rounding = 2 * epsilon * largest + 1e-5 * np.sqrt((largest**2).mean(axis=-1, keepdims=True))
    if has_delta:
        cond, uncond = branches.index("cond"), branches.index("uncond")
        np.subtract(block[cond], block[uncond], out=block[-1])
        rounding = np.concatenate([rounding, rounding[[cond]] + rounding[[uncond]]])
    return block, rounding


def _block(features: np.ndarray, rounding: np.ndarray) -> dict[str, np.ndarray]:
    """Compute all per-step results of features [C, S, N, D], given their rounding [C, S, D]."""
    results: dict[str, np.ndarray] = {}
    # Step by step, so that float64 never doubles the block.
    for place in np.ndindex(features.shape[:2]):
        for name, value in _step(features[place].astype(float), rounding[place]).items():
            if name not in results:
                kind = bool if name == "deterministic" else np.float32
                results[name] = np.empty((*features.shape[:2], *np.shape(value)), kind)
            results[name][place] = value
    return results


def _step(features: np.ndarray, rounding: np.ndarray) -> dict[str, np.ndarray]:
    """Compute one step's results from features [N, D], which are overwritten."""
    mean = features.mean(axis=0)  # [D]
    features -= mean
    about = np.einsum("nd,nd->d", features, features)  # energy about the mean, by dimension
    energy = about + len(features) * mean**2
    total = max(float(energy.sum()), float(np.finfo(np.float32).tiny))
    spread = np.sqrt(about / len(features))
    varies = spread > rounding
    result = {
        "gram": features @ features.T,
        "mean_product": features @ mean,
        "mean_norm": np.sqrt((mean**2).sum()),
        "centred_share": about.sum() / total,
        "top3_share": np.sort(energy)[-3:].sum() / total,
        "deterministic": ~varies.any(),
    }
    features *= np.where(varies, 1 / np.where(varies, spread, 1), 0)
    result["standardised"] = cosine(features @ features.T)
    return result


def _add_windows(
    sums: np.ndarray, features: np.ndarray, windows: Mapping[str, tuple[int, int]], start: int
) -> None:
    """Add a block of steps to the windows' sums [C, W, N, D]."""
    stop = start + features.shape[1]
    for w, (begin, end) in enumerate(windows.values()):
        first, last = max(begin, start), min(end, stop)
        if first < last:
            sums[:, w] += features[:, first - start : last - start].sum(axis=1, dtype=float)


def _without_variance(deterministic: np.ndarray, windows: Mapping[str, tuple[int, int]]) -> np.ndarray:
    """Return bool [C, W]: the windows of which every step [C, S] is deterministic."""
    return np.stack([deterministic[:, begin:stop].all(axis=1) for begin, stop in windows.values()], axis=1)


def _window_arrays(
    means: np.ndarray, windows: Mapping[str, tuple[int, int]], without_variance: np.ndarray
) -> Arrays:
    """Turn window means [C, W, N, D], bins last, into Gram matrices; zero where `without_variance` [C, W]."""
    names = [name for name in windows if not name.startswith("bin_")]
    features = means[:, : len(names)]
    centred = features - features.mean(axis=2, keepdims=True)
    centred[without_variance[:, : len(names)]] = 0
    scale = centred.std(axis=2, keepdims=True)
    constant = scale <= 1e-6 * np.abs(features).max(axis=2, keepdims=True)
    scored = np.where(constant, 0, centred / np.where(constant, 1, scale))
    square = ("branch", "window", "sample", "sample_2")
    arrays: Arrays = {
        "window_mean": (("branch", "window", "sample", "d_model"), features.astype(np.float32)),
        "window_gram": (square, (centred @ centred.swapaxes(-1, -2)).astype(np.float32)),
        "window_standardised": (square, cosine(scored @ scored.swapaxes(-1, -2)).astype(np.float32)),
    }
    bins = means[:, len(names) :]  # [C, bins, N, D]
    if bins.shape[1]:
        bins = bins - features[:, :1].mean(axis=2, keepdims=True)
        rows = bins.swapaxes(1, 2).reshape(len(bins), -1, bins.shape[-1])  # [C, N * bins, D]
        spans = list(windows.values())[len(names) :]
        arrays["bin_gram"] = (("branch", "sample_bin", "sample_bin_2"), _products(rows))
        arrays["bin_start"] = (("bin",), np.array([begin for begin, _ in spans], np.int32))
        arrays["bin_steps"] = (("bin",), np.array([end - begin for begin, end in spans], np.int32))
    return arrays


def _products(rows: np.ndarray) -> np.ndarray:
    """Inner products of rows [C, R, D], summed in float64 and kept in float32 [C, R, R]."""
    products = np.empty((*rows.shape[:2], rows.shape[1]), np.float32)
    for branch, features in enumerate(rows):
        for start in range(0, len(features), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            products[branch, some] = features[some] @ features.T
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

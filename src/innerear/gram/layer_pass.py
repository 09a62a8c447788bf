"""One pass over a layer's stacks: inner products between samples, from which all later analyses follow."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import cycle
from os import PathLike

import numpy as np

from innerear.errors import InputError
from innerear.gram.products import double_centred, inner_products, set_aside, squared_lengths
from innerear.gram.prompt_sums import Prompts, all_sums, coordinates
from innerear.gram.reading import cosine, named_windows
from innerear.gram.step_groups import CoarseSteps
from innerear.gram.windows import WindowSums, window_arrays
from innerear.io.machine import files_at_once
from innerear.stacks import LayerReader, Stack
from innerear.stacks.gram_file import Arrays, Coords
from innerear.stacks.widening import widened
from innerear.timeline import chunk_steps

#: reads samples' features: (sample number, slice of steps) -> [C, S, D] as stored
Reader = Callable[[int, slice], np.ndarray]

# Size of a block of steps, if chunks are not larger: writing to fresh memory is slower than reading.
_BLOCK_BYTES = 32 * 2**20
# Stacks that stay open over all blocks; the others are opened for each block.
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
    prompts: Prompts | None = None,
    pairs: bool = True,
) -> tuple[Arrays, Coords]:
    """Read each stack of a layer once and return sums of its products.

    Parameters
    ----------
    read : ``read(i, steps)`` returns sample i's features at these steps, [C, S, D], as stored.
    n_samples : N.
    complete : bool [S]; windows and bins cover the complete steps only.
    branches : names of the C stored branches. With cond and uncond, delta = cond − uncond is computed from
        float32 features and added as a third.
    n_bins : time bins of `bin_mean`.
    steps_per_matrix : complete steps to average before samples are compared, see `CoarseSteps`. An entry of
        the axis ``step`` is then a group; its coordinate is the group's first step.
    memory_mb : limit of two blocks of steps, as stored: a thread reads the next block while one is computed.
        The results take further memory.
    prompts : whose samples they are; adds `sums` and `window_sums`.
    pairs : whether to keep `gram` and `standardised`, N × N a step. No analysis needs them.

    Returns
    -------
    Arrays by name, each with the names of its axes, and the coordinates of each axis, for `GramFile.write`;
    float32 unless stated. States are centred across samples before every product.

    - `sums` [branch, measure, pairs, step, pair], `window_sums`: sums over the seeds of prompts, see
      `innerear.gram.prompt_sums`.
    - `squared` [branch, step, sample]: squared lengths of the centred states.
    - `gram`, `standardised` [branch, step, sample, sample_2]: inner products at each step; cosines of
      features z-scored per dimension without constant dimensions (NaN if all are constant).
    - `mean_product` [branch, step, sample], `mean_norm` [branch, step]: centred features times the mean over
      samples, and the mean's length; `raw_gram` restores the raw products from them.
    - `window_mean` [branch, window, sample, d_model]: features averaged over whole, first and last 10 %,
      deciles; equal for all samples if all steps of a window are deterministic. `window_products` of
      `innerear.gram.reading` has their products.
    - `bin_mean` [branch, bin, sample, d_model]: features of the bins about the mean of the whole window;
      weighted by `bin_steps` they average to its features. `innerear.gram.time_bins` has their products.
    - `centred_share` [branch, step]: energy about the mean ÷ total energy. `top3_share`: energy in the three
      largest dimensions ÷ total energy. `deterministic` bool: equal for all samples, or with less energy
      about the mean, over all dimensions, than rounding to the stored dtype gives.
    - `complete` bool [step]; `step_count` [step]: number of steps averaged; `bin_start`, `bin_steps` [bin]:
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
    sums = WindowSums(windows, (len(branches), n_samples, d_model))
    blocks = _blocks(read, n_samples, len(complete), len(branches), memory_mb)
    arrays: Arrays = {}
    for step, features, mean, rounding in _centred_steps(blocks, branches, weights, epsilon, sums):
        found = _step(features, mean, rounding, prompts, pairs=pairs)
        _write_step(arrays, found, step, len(complete))
    arrays |= window_arrays(sums, weights, windows, arrays["deterministic"][1], prompts)
    arrays["complete"] = (("step",), complete)
    arrays["step_count"] = (("step",), coarse.counts.astype(np.int32))
    return arrays, _coordinates(arrays, names, windows) | {"step": coarse.starts.astype(np.int32)}


def stacks_gram(
    paths: Sequence[str | PathLike],
    sample_ids: Sequence[str],
    layer: int,
    *,
    site: str = "residual",
    contents: Sequence[str] | None = None,
    n_bins: int = 20,
    steps_per_matrix: int = 1,
    memory_mb: int = 512,
    prompts: Prompts | None = None,
    pairs: bool = True,
) -> tuple[Arrays, Coords, dict[str, object]]:
    """Return `layer_gram` of stack files, with sample ids as coordinates and the stacks' provenance.

    Parameters
    ----------
    paths, sample_ids : [N] in the order of every sample axis.
    layer, site : which dataset of each stack.
    contents : [N] content hashes that the stacks must have, as an index lists them.
    n_bins, steps_per_matrix, memory_mb, prompts, pairs : as for `layer_gram`.

    Returns
    -------
    arrays, coords, attrs : for `GramFile.write`; with `seconds` [step], and `level_share` [branch, step], the
        share of the raw states' energy in their mean over units. The steps are `Timeline.analysed`.
    """
    listed = [None] * len(paths) if contents is None else list(contents)
    with Stack(paths[0], content=listed[0]) as first:
        kept = first.timeline.analysed
        complete, seconds = first.complete[kept], first.seconds[kept]
        branches, stored = first.branches, first.attrs

    with _readers(paths, layer, site, listed) as of_sample:

        def read(i: int, steps: slice) -> np.ndarray:
            rows = kept[steps]
            with of_sample(i) as reader:
                states = reader.read(slice(rows[0], rows[-1] + 1))
            return states if states.shape[1] == len(rows) else states[:, rows - rows[0]]

        arrays, coords = layer_gram(
            read,
            len(paths),
            complete,
            branches=branches,
            n_bins=n_bins,
            steps_per_matrix=steps_per_matrix,
            memory_mb=memory_mb,
            prompts=prompts,
            pairs=pairs,
        )
        stored_levels = np.empty((len(paths), len(branches), len(kept)), np.float32)
        for i in range(len(paths)):
            with of_sample(i) as reader:
                stored_levels[i] = reader.levels[:, kept]
    coarse = CoarseSteps.of(complete, steps_per_matrix)
    arrays["seconds"] = (("step",), coarse.average(seconds))
    levels = coarse.average(stored_levels, axis=-1)  # [N, C, S]
    arrays["level_share"] = (("branch", "step"), _level_share(levels, arrays, branches))
    coords |= {axis: np.array(sample_ids) for axis in ("sample", "sample_2") if axis in coords}
    attrs = {name: stored[name] for name in ("study", "model", "frame_rate") if name in stored}
    return arrays, coords, attrs | {"layer": layer, "site": site}


@contextmanager
def _readers(
    paths: Sequence[str | PathLike], layer: int, site: str, contents: Sequence[str | None]
) -> Iterator[Callable[[int], AbstractContextManager[LayerReader]]]:
    """Yield what opens the stack of a sample, by its number; the first ones stay open until the end."""
    kept_open, readers = files_at_once(_OPEN_AT_ONCE), {}

    def opened(i: int) -> LayerReader:
        return LayerReader(paths[i], layer, site, contents[i])

    def of_sample(i: int) -> AbstractContextManager[LayerReader]:
        if i >= kept_open:
            return opened(i)
        if i not in readers:
            readers[i] = stay.enter_context(opened(i))
        return nullcontext(readers[i])

    with ExitStack() as stay:
        yield of_sample


def _level_share(levels: np.ndarray, arrays: Arrays, branches: Sequence[str]) -> np.ndarray:
    """Return the share of raw states' energy in their levels [N, C, S]: [all C, S], NaN where all is 0."""
    of_all = np.tensordot(_derived(branches)[1], levels, (1, 1))  # [all C, N, S]
    d_model = arrays["window_mean"][1].shape[-1]
    in_levels = d_model * np.square(of_all).sum(axis=1)
    about = arrays["squared"][1].sum(axis=-1)
    total = in_levels + about + levels.shape[0] * np.square(arrays["mean_norm"][1])
    return np.divide(in_levels, total, out=np.full(total.shape, np.nan, np.float32), where=total > 0)


_AXES = {
    "sums": ("branch", "measure", "pairs", "step", "pair"),
    "squared": ("branch", "step", "sample"),
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
    """Return all branches with delta, and their weights of the stored branches: float32 [all, C]."""
    names, weights = list(branches), np.eye(len(branches), dtype=np.float32)
    if not {"cond", "uncond"} <= set(branches):
        return names, weights
    delta = weights[names.index("cond")] - weights[names.index("uncond")]
    return [*names, "delta"], np.vstack([weights, delta])


def _blocks(
    read: Reader, n_samples: int, n_steps: int, n_branches: int, memory_mb: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the first step and the features [S, C, N, D] of each block of steps, as stored.

    The next block is read meanwhile; the one after that overwrites the yielded block.
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
    """Return how many steps to read at a time: whole chunks if two blocks fit the memory."""
    chunk = chunk_steps(n_steps)
    most = max(1, memory_mb * 2**20 // (2 * step_bytes))
    size = min(most, max(chunk, _BLOCK_BYTES // step_bytes))
    return min(n_steps, size // chunk * chunk or size)


def _centred_steps(
    blocks: Iterable[tuple[int, np.ndarray]],
    branches: Sequence[str],
    weights: np.ndarray,
    epsilon: float,
    sums: WindowSums,
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield each step's number, and its features as `_step` takes them; add these to the windows' sums.

    `weights` [all, C] are those of `_derived`. The features of the next step overwrite those yielded.
    """
    features = np.empty((len(weights), *sums.centred.shape[2:]), np.float32)  # [all, N, D]
    stored = features[: len(branches)]
    for start, block in blocks:
        # One step at a time: its features stay in the processor's cache, and float32 never doubles the block.
        for step, states in enumerate(block, start):
            widened(states, stored)
            rounding = _rounding(stored, epsilon, step)
            mean = stored.mean(axis=1)  # [C, D]
            stored -= mean[:, None]
            sums.add(step, stored, mean)
            if len(weights) > len(branches):
                np.subtract(
                    stored[branches.index("cond")], stored[branches.index("uncond")], out=features[-1]
                )
            yield step, features, weights @ mean, weights**2 @ rounding


def _write_step(arrays: Arrays, found: Mapping[str, np.ndarray], step: int, n_steps: int) -> None:
    """Write the results of a step, each [C, …], at its place in the arrays; the first step makes these."""
    for name, values in found.items():
        if name not in arrays:
            kind = bool if name == "deterministic" else np.float32
            shape = list(values.shape)
            shape.insert(_AXES[name].index("step"), n_steps)
            arrays[name] = (_AXES[name], np.empty(shape, kind))
        axes, whole = arrays[name]
        np.moveaxis(whole, axes.index("step"), 1)[:, step] = values


def _rounding(features: np.ndarray, epsilon: float, step: int) -> np.ndarray:
    """Return the variance that rounding gives to equal features [C, N, D] of a step, [C, D]."""
    largest = np.abs(features).max(axis=1)
    if not np.isfinite(largest).all():
        sample = np.flatnonzero(~np.isfinite(features).all(axis=(0, 2)))[0]
        raise InputError(f"sample {sample} holds values that are not finite at step {step}")
    # Of a number that is rounded to multiples of its unit in the last place, ulp² / 12; and the error of
    # float32 arithmetic between batches.
    ulp = np.ldexp(epsilon, np.frexp(largest)[1] - 1)
    return ulp**2 / 12 + 1e-10 * (largest**2).mean(axis=-1, keepdims=True)


def _step(
    features: np.ndarray, mean: np.ndarray, rounding: np.ndarray, prompts: Prompts | None, *, pairs: bool
) -> dict[str, np.ndarray]:
    """Compute one step's results from float32 features [C, N, D] about their mean [C, D]; overwrite them."""
    n_samples = features.shape[1]
    # The float32 mean's rounding error, which may exceed the spread.
    rest = np.full(n_samples, 1 / n_samples, np.float32) @ features
    features -= rest[:, None]
    mean = mean.astype(float) + rest
    about = np.einsum("cnd,cnd->cd", features, features).astype(float)  # energy about the mean, by dimension
    energy = about + n_samples * mean**2
    total = np.maximum(energy.sum(axis=1), np.finfo(np.float32).tiny)
    variance = about / n_samples
    varies = variance > rounding  # else z-scoring would enlarge rounding to the size of a signal
    along = (features @ mean.astype(np.float32)[..., None])[..., 0]
    equal = variance.sum(axis=1) <= rounding.sum(axis=1)
    result = {
        "squared": squared_lengths(features),
        "mean_product": along - along.mean(axis=1, keepdims=True),
        "mean_norm": np.sqrt((mean**2).sum(axis=1)),
        "centred_share": about.sum(axis=1) / total,
        "top3_share": np.partition(energy, -3, axis=1)[:, -3:].sum(axis=1) / total,
        "deterministic": equal,
    }
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1)), 0)
    scored = features * scale.astype(np.float32)[:, None]
    scored[equal] = 0
    largest, large = set_aside(features, about)
    if pairs:
        gram = double_centred(inner_products(features) + large @ large.swapaxes(-1, -2))
        result |= {"gram": gram, "standardised": cosine(double_centred(inner_products(scored)))}
    if prompts:
        summed = prompts.sums(features) + prompts.sums(large)
        np.put_along_axis(features, largest, large.astype(np.float32), axis=-1)
        sums = all_sums(prompts, summed, (features, scored), mean)
        sums[equal, 0], sums[equal, 1:-1] = 0, np.nan
        result["sums"] = sums
    return result


def _coordinates(arrays: Arrays, branches: Sequence[str], windows: Mapping[str, tuple[int, int]]) -> Coords:
    """Name branches and windows, and number all other axes."""
    sizes = {axis: n for axes, values in arrays.values() for axis, n in zip(axes, values.shape, strict=True)}
    coords: Coords = {axis: np.arange(n, dtype=np.int32) for axis, n in sizes.items()}
    names = [name for name in windows if not name.startswith("bin_")]
    if "sums" in arrays:
        coords |= coordinates()
    return coords | {"branch": np.array(branches), "window": np.array(names)}

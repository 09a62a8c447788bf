"""Cosine similarity of activations in memory; studies use the module `similarity`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from innerear.errors import InputError
from innerear.stacks.widening import widened

# Steps of activations are compared in blocks of about this many numbers, to stay in the processor's cache.
_BLOCK = 2**18


def cosine_similarity(
    x: Any,
    y: Any = None,
    branch: str | None = None,
    center: bool | np.ndarray | None = None,
    average: bool | None = None,
) -> np.ndarray | float:
    """Cosine similarity of two sets of activations: a number for one clip each, step by step for several.

    The number for two clips is the mean over all steps of the cosine between their states at one step, each
    without its mean over units, which the model's LayerNorms discard. It is a raw cosine: nothing that all
    clips share is subtracted, so two clips of anything are alike to some degree. To compare emotions, give
    several clips and read the centred array.

    Parameters
    ----------
    x, y : [S, C, B, D] activations of one layer as `ActivationExtractor.get_activations` returns
        them (torch tensors or arrays), of equal S, C, D. Without y, x is compared with itself.
    branch : ``"cond"``, ``"uncond"``, or ``"delta"`` (cond − uncond); by default the first one, cond
        where a text was read.
    center : True, the default for several samples, subtracts at each step the mean over the samples of x
        and y together; an array [S, D] (of the same branch) is subtracted instead, a mean over a larger
        study, say; False compares states as they are given, which with their mean over units
        (``raw=True``) is near 1 for any two inputs.
    average : whether to average over steps; by default where x and y hold one sample each.

    Returns
    -------
    [S, Bx, By] in −1 … 1; NaN where a state equals the mean. float64 where x is, else float32;
    it takes the memory of the result and of a block of steps. Averaged, [Bx, By], or a float for one
    sample each, leaving out steps that are NaN.

    Raises
    ------
    InputError: shapes that do not fit, an unknown branch, states that are not finite, or a mean over fewer
    than three samples (two centred samples have cosine −1 whatever they are).

    Examples
    --------
    >>> happy, sad = np.random.default_rng(0).normal(size=(2, 5, 2, 3, 8))
    >>> cosine_similarity(happy, sad, branch="uncond").shape
    (5, 3, 3)
    >>> f"{cosine_similarity(happy[:, :, :1], sad[:, :, :1]):.4f}"
    '0.3141'
    """
    names = getattr(x, "branches", None), getattr(x if y is None else y, "branches", None)
    x, y, itself = _array(x), _array(x if y is None else y), y is None or y is x
    if x.shape[0] != y.shape[0] or x.shape[-1] != y.shape[-1]:
        raise InputError(
            f"x has {x.shape[0]} steps × {x.shape[-1]} dimensions, y {y.shape[0]} × "
            f"{y.shape[-1]}: compare one layer of clips of one duration"
        )
    single = x.shape[2] == y.shape[2] == 1
    level = center is None and single  # then states lose their mean over units
    center = _center(not single if center is None else center, (len(x), x.shape[-1]))
    result = np.empty((len(x), x.shape[2], y.shape[2]), x.dtype if x.dtype == float else np.float32)
    size = max(1, _BLOCK // (x.shape[2] * x.shape[3]))
    with np.errstate(over="ignore", invalid="ignore"):  # refused by the lengths of the states
        for start in range(0, len(x), size):
            steps = slice(start, start + size)
            mean = center[steps] if isinstance(center, np.ndarray) else center
            first = _branch(x[steps], branch, result.dtype, names[0])
            second = first if itself else _branch(y[steps], branch, result.dtype, names[1])
            if level:
                first, second = (values - values.mean(axis=-1, keepdims=True) for values in (first, second))
            result[steps] = _cosines_of_block(first, second, mean)
    if not (single if average is None else average):
        return result
    known = ~np.isnan(result)
    total = np.where(known, result, 0).sum(axis=0, dtype=float)
    mean = np.divide(total, known.sum(axis=0), out=np.full(total.shape, np.nan), where=known.any(axis=0))
    return float(mean.item()) if single else mean


def _center(center: Any, shape: tuple[int, int]) -> bool | np.ndarray:
    """Return the mean [S, D] that is given, or whether to take that of the samples."""
    if isinstance(center, bool | np.bool_):
        return bool(center)
    values = np.asarray(center.detach().cpu() if hasattr(center, "detach") else center)
    if values.shape != shape or values.dtype.kind not in "fiu":
        raise InputError(
            f"center: {type(center).__name__} of shape {values.shape} is not allowed; give True, False, or a "
            f"mean of shape {shape} [steps, d_model]"
        )
    return values


def _cosines_of_block(first: np.ndarray, second: np.ndarray, center: bool | np.ndarray) -> np.ndarray:
    """Cosines [S, Bx, By] of the states [S, B, D] of a block of steps, which lose their mean."""
    mean = np.zeros((), first.dtype)
    if isinstance(center, np.ndarray):
        mean = np.asarray(center, first.dtype)[:, None, :]
    elif center:
        n = first.shape[1] + second.shape[1] * (second is not first)
        if n < 3:
            raise InputError(
                f"center=True with {n} samples: their centred cosine is −1 by construction; "
                "give more samples, a mean as center=[S, D], or center=False for the raw diagnostic"
            )
        total = first.sum(axis=1, keepdims=True)
        mean = (total if second is first else total + second.sum(axis=1, keepdims=True)) / n
    first -= mean
    if second is not first:
        second -= mean
    cosines = first @ second.swapaxes(-1, -2)
    cosines *= _inverse_lengths(first)[:, :, None]
    cosines *= _inverse_lengths(second)[:, None]
    return cosines


def _array(activations: Any) -> np.ndarray:
    try:
        if hasattr(activations, "detach"):  # a torch tensor, without importing torch
            tensor = activations.detach().cpu()
            activations = (tensor.float() if tensor.element_size() < 4 else tensor).numpy()
        values = np.asarray(activations)
    except (ValueError, TypeError, RuntimeError):  # lists of unequal length, sparse tensors
        values = np.empty(0)
    if values.ndim != 4 or not values.size or values.dtype.kind not in "fiu":
        raise InputError(
            f"activations have shape {values.shape}; expected numbers [steps, branches, samples, d_model] of "
            "one layer"
        )
    return values


def _branch(
    values: np.ndarray, branch: str | None, dtype: np.dtype, names: Sequence[str] | None
) -> np.ndarray:
    """Return the states [S, B, D] of a branch of [S, C, B, D]; `names` are those of the C branches."""
    names = tuple(names or ("cond", "uncond")[: values.shape[1]])
    branch = names[0] if branch is None else branch
    if branch == "delta" and len(names) == 2:
        return _copied(values[:, 0], dtype) - _copied(values[:, 1], dtype)
    if branch not in names or values.shape[1] > 2:
        raise InputError(
            f"branch={branch!r} is not in activations with {values.shape[1]} branches ({', '.join(names)}); "
            "delta is where there are cond and uncond"
        )
    return _copied(values[:, names.index(branch)], dtype)


def _copied(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return widened(values) if dtype == np.float32 else values.astype(dtype)


def _inverse_lengths(values: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.einsum("sbd,sbd->sb", values, values))
    if not np.isfinite(length).all():
        raise InputError(
            "states hold NaN, infinity or numbers too large to be multiplied, or their mean does; look where "
            "with numpy.isfinite"
        )
    return np.divide(1, length, out=np.full_like(length, np.nan), where=length > 0)

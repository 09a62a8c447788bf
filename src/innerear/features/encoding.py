"""Encode one layer of a study's clips: the largest latents of each step."""

from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
import torch

from innerear.errors import InputError
from innerear.features.dictionary import Dictionary
from innerear.features.tokens import TokenSteps

# indices are uint16
_MOST_LATENTS = 2**16


def encode_layer(
    paths: Sequence[str | PathLike],
    layer: int,
    dictionaries: Mapping[str, Dictionary],
    *,
    site: str = "residual",
    contents: Sequence[str | None] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Encode one layer of N stacks.

    Parameters
    ----------
    paths : N stacks on one timeline.
    dictionaries : branch → the dictionary that encodes it.
    contents : the stacks' content hashes.

    Returns
    -------
    Latents uint16 and values float16 [N, C, S', k], C in the order of `dictionaries`, k the largest of theirs
    (others are filled up with value 0); and the numbers of the S' complete steps.

    Raises
    ------
    InputError: a dictionary of another d_model or with too many latents; a value past float16's range.
    """
    steps = TokenSteps(paths[0], site)
    most = max(one.k for one in dictionaries.values())
    for branch, one in dictionaries.items():
        if one.n_latents > _MOST_LATENTS:
            raise InputError(
                f"a dictionary of {one.n_latents} latents; at most {_MOST_LATENTS} can be stored"
            )
        if most > one.n_latents:
            raise InputError(f"{branch}: {one.n_latents} latents, but {most} of a token are to be kept")
    shape = (len(paths), len(dictionaries), len(steps.steps), most)
    indices, values = np.zeros(shape, np.uint16), np.zeros(shape, np.float16)
    for i, path in enumerate(paths):
        states = steps.read(path, layer, list(dictionaries), contents[i] if contents is not None else None)
        for c, (branch, one) in enumerate(dictionaries.items()):
            if states.shape[-1] != one.d_model:
                raise InputError(
                    f"{path}: layer {layer} has {states.shape[-1]} units, the dictionary of {branch} is of "
                    f"{one.d_model}: it is of another model"
                )
            which, sizes = (part.numpy() for part in one.encode(torch.from_numpy(states[c])))
            if not np.isfinite(sizes).all() or sizes.max(initial=0) > np.finfo(np.float16).max:
                raise InputError(f"{path}: layer {layer}, {branch}: an activation is past float16's range")
            indices[i, c, :, : one.k], values[i, c, :, : one.k] = which, sizes
    return indices, values, steps.steps

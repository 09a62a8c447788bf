"""Which features fire at which step of each clip: sparse activations of one layer, as a file."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import torch

from innerear.errors import InputError
from innerear.features.dictionary import Dictionary
from innerear.features.tokens import Steps
from innerear.io.hdf5 import new_file
from innerear.io.hdf5_reader import Reader
from innerear.stacks.index import require_stacks

_KIND = "innerear-features"
# indices are uint16
_MOST_LATENTS = 2**16


class Activations(Reader):
    """The sparse activations of a layer, opened for reading.

    Axes: ``sample``, ``branch``, ``step`` (complete ones), ``rank`` (0 is the largest latent).

    Raises
    ------
    InputError: as `Reader`.
    """

    kind, made_by = _KIND, "dictionaries"

    def branches(self) -> list[str]:
        """Return the names of the C branches, in order."""
        return [str(branch) for branch in self.values("branch")]

    def n_latents(self, branch: str) -> int:
        """Return F of the dictionary of a branch."""
        return self.attrs.whole(f"n_latents_{branch}")

    def sparse(self, branch: str) -> tuple[np.ndarray, np.ndarray]:
        """Return a branch's latents uint16 [N, S', k] and their values float16 [N, S', k]; 0 is none."""
        place = (slice(None), self.branches().index(branch))
        return self.values("indices", place), self.values("values", place)

    def dense(self, branch: str, sample: int) -> np.ndarray:
        """Return the activations of all latents of one clip, float32 [S', F]."""
        place = (sample, self.branches().index(branch))
        indices, values = self.values("indices", place), self.values("values", place)
        return dense(indices, values, self.n_latents(branch))


def read_branch(path: str | PathLike, branch: str, samples: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return a branch's sparse activations, as `Activations.sparse`, of the samples of an index.

    Raises
    ------
    InputError: as `Activations`; a file that was made of other stacks.
    """
    with Activations(path) as file:
        require_stacks(file, samples)
        return file.sparse(branch)


def dense(indices: np.ndarray, values: np.ndarray, n_latents: int) -> np.ndarray:
    """Return sparse activations [S, k] as float32 [S, F].

    Examples
    --------
    >>> dense(np.array([[2, 0]]), np.array([[1.5, 0.0]]), 3)
    array([[0. , 0. , 1.5]], dtype=float32)
    """
    whole = np.zeros((len(indices), n_latents), np.float32)
    # Added up, since the value 0 of a place that is not used may stand at any latent.
    np.add.at(whole, (np.arange(len(indices))[:, None], indices.astype(np.intp)), values.astype(np.float32))
    return whole


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
    steps = Steps(paths[0], site)
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


def write_activations(
    path: str | PathLike,
    indices: np.ndarray,
    values: np.ndarray,
    steps: np.ndarray,
    *,
    samples: Sequence[str],
    dictionaries: Mapping[str, Dictionary],
    attrs: Mapping[str, Any],
) -> None:
    """Write what `encode_layer` returned, of samples with these ids."""
    sizes = {f"n_latents_{branch}": one.n_latents for branch, one in dictionaries.items()}
    dims = ("sample", "branch", "step", "rank")
    with new_file(path, _KIND, dict(attrs) | sizes) as layout:
        layout.axis("/", "sample", np.asarray(samples, str))
        layout.axis("/", "branch", np.asarray(list(dictionaries), str))
        layout.axis("/", "step", np.asarray(steps, np.int32))
        layout.axis("/", "rank", np.arange(indices.shape[-1], dtype=np.int32))
        chunks = (1, 1, *indices.shape[2:])
        for name, array in (("indices", indices), ("values", values)):
            layout.dataset("/", name, dims, array, chunks=chunks, rows=1)

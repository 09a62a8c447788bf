"""Sparse activations of one layer, as a file: the features that fire at each step of each clip."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from innerear.io.hdf5 import new_file
from innerear.io.hdf5_reader import Reader
from innerear.stacks.index import require_stacks

_KIND = "innerear-features"
#: a branch's latents [N, S', k] and their values [N, S', k]; 0 is none
Sparse = tuple[np.ndarray, np.ndarray]
#: what is said of single features, see `innerear.features.describe`
NEAR, CODE, WITHOUT = "near direction", "code", "cost without it"


class Activations(Reader):
    """The sparse activations of a layer, opened for reading.

    Axes: ``sample``, ``branch``, ``step`` (complete ones), ``rank`` (0 is the largest latent). The last
    branch is ``random_init`` where there is a random twin: its uncond, by its own dictionary.

    Raises
    ------
    InputError: as `Reader`.
    """

    kind, made_by = _KIND, "dictionaries"

    def branches(self) -> list[str]:
        """Return the names of the C branches, in order."""
        return [str(branch) for branch in self.values("branch")]

    def sparse(self, branch: str) -> Sparse:
        """Return a branch's latents uint16 [N, S', k] and their values float16 [N, S', k]; 0 is none."""
        place = (slice(None), self.branches().index(branch))
        return self.values("indices", place), self.values("values", place)


def read_branch(path: str | PathLike, branch: str, samples: pd.DataFrame) -> Sparse:
    """Return a branch's sparse activations, as `Activations.sparse`, of the samples of an index.

    Raises
    ------
    InputError: as `Activations`; a file that was made of other stacks.
    """
    with Activations(path) as file:
        require_stacks(file, samples)
        return file.sparse(branch)


def activation_of(sparse: Sparse, latent: int) -> np.ndarray:
    """Return one latent's activation at each step, float32 [N, S'].

    Examples
    --------
    >>> activation_of((np.array([[[3, 5]]]), np.array([[[2.0, 1.0]]])), 5).tolist()
    [[1.0]]
    """
    indices, values = sparse
    return np.where(indices == latent, values, 0).max(axis=-1).astype(np.float32)


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


def write_activations(
    path: str | PathLike,
    indices: np.ndarray,
    values: np.ndarray,
    steps: np.ndarray,
    *,
    samples: Sequence[str],
    n_latents: Mapping[str, int],
    attrs: Mapping[str, Any],
) -> None:
    """Write what `innerear.features.encoding.encode_layer` returned, of samples with these ids.

    `n_latents` is branch → F of its dictionary.
    """
    sizes = {f"n_latents_{branch}": n for branch, n in n_latents.items()}
    dims = ("sample", "branch", "step", "rank")
    with new_file(path, _KIND, dict(attrs) | sizes) as layout:
        layout.axis("/", "sample", np.asarray(samples, str))
        layout.axis("/", "branch", np.asarray(list(n_latents), str))
        layout.axis("/", "step", np.asarray(steps, np.int32))
        layout.axis("/", "rank", np.arange(indices.shape[-1], dtype=np.int32))
        chunks = (1, 1, *indices.shape[2:])
        for name, array in (("indices", indices), ("values", values)):
            layout.dataset("/", name, dims, array, chunks=chunks, rows=1)

"""The Gram file of a layer: sums of products by prompt, averages of windows, and diagnostics."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from innerear.errors import InputError
from innerear.io.hdf5 import new_file
from innerear.io.hdf5_reader import Reader
from innerear.io.names import remake
from innerear.stacks.index import require_stacks
from innerear.study.names import layers_of

#: name -> (axes, values), as `GramFile.write` and xarray take it
Arrays = dict[str, tuple[tuple[str, ...], np.ndarray]]
#: axis -> coordinates
Coords = dict[str, np.ndarray]

_KIND = "innerear-gram"
_CHUNK_VALUES = 2**18  # fit h5py's chunk cache


class GramFile(Reader):
    """The products and diagnostics of one layer, opened for reading.

    Raises
    ------
    InputError: a truncated, foreign, older or checksum-broken file; a dataset that it does not have.
    """

    kind, made_by = _KIND, "gram"

    @staticmethod
    def write(
        path: str | PathLike,
        arrays: Mapping[str, tuple[Sequence[str], np.ndarray]],
        coords: Mapping[str, Any],
        attrs: Mapping[str, Any] | None = None,
        name: str | PathLike | None = None,
    ) -> None:
        """Write a file; it appears under its name once it is whole.

        Parameters
        ----------
        path : the file to write.
        arrays : name → (axis names, array).
        coords : axis name → coordinates.
        attrs : provenance; None values are left out.
        name : where the file will lie in the end, if its folder still has a temporary name.

        Examples
        --------
        >>> GramFile.write("layer.h5", {"mean": (("step",), np.ones(2))}, {"step": range(2)})
        >>> with GramFile("layer.h5") as gram:
        ...     gram.read("mean", step=0)
        np.float64(1.0)
        """
        with new_file(path, _KIND, attrs or {}, name) as layout:
            for axis, coordinates in coords.items():
                layout.axis("/", axis, coordinates)
            for array, (dims, given) in arrays.items():
                values = np.asarray(given)
                layout.dataset("/", array, dims, values, chunks=_chunks(values.shape))

    def __contains__(self, name: str) -> bool:
        return name in self.contents

    def dims(self, name: str) -> tuple[str, ...]:
        """Return the names of a dataset's axes."""
        self.dataset(name)
        return tuple(self.contents[name].dims)

    def coords(self, axis: str) -> np.ndarray:
        """Return the coordinates of an axis; texts as str."""
        return self.values(axis)

    def read(self, name: str, **where: str | int | slice) -> np.ndarray:
        """Return a dataset, or the part of it that `where` selects by axis: a label, a position or a slice.

        Raises
        ------
        InputError: a dataset, axis or label that the file does not have, or values that have changed since
            they were written.

        Examples
        --------
        ``gram.read("window_mean", branch="uncond", window="whole")``
        """
        dims = self.dims(name)
        unknown = set(where) - set(dims)
        if unknown:
            raise InputError(f"{name!r} has no axis {sorted(unknown)[0]!r}; it has {', '.join(dims)}")
        places = {dim: self._position(dim, place) for dim, place in where.items()}
        return self.values(name, tuple(places.get(dim, slice(None)) for dim in dims))

    def _position(self, axis: str, place: str | int | slice) -> int | slice:
        return position(axis, self.labels(axis), place) if isinstance(place, str) else place

    def labels(self, axis: str) -> list[str]:
        """Return the coordinates of an axis as texts."""
        return [str(label) for label in self.coords(axis)]


def _chunks(shape: Sequence[int]) -> tuple[int, ...] | None:
    """Return chunks of one matrix of the last two axes, as readers read them; of large ones, of rows."""
    if len(shape) < 3:
        return None
    rows = max(1, min(shape[-2], _CHUNK_VALUES // max(1, shape[-1])))
    return (*[1] * (len(shape) - 2), rows, shape[-1])


def position(axis: str, labels: Sequence[str], label: str) -> int:
    """Return where a label stands on an axis.

    Raises
    ------
    InputError: the axis has no such label.
    """
    if label not in labels:
        raise InputError(f"{axis} {label!r} is not there; the file has {', '.join(labels)}")
    return labels.index(label)


def layer_name(layer: int) -> str:
    """Name a layer's file in a folder of several layers.

    >>> layer_name(3)
    'layer_03.h5'
    """
    return f"layer_{layer:02d}.h5"


@contextmanager
def open_layers(
    paths: Sequence[str | PathLike], samples: pd.DataFrame | None = None
) -> Iterator[dict[int, GramFile]]:
    """Open the files of several layers, and give each by the layer that it is of.

    Parameters
    ----------
    paths : of files, or of folders that bear the names of their layers, such as ``00-03-05``.
    samples : the study's index; the files must be made of its stacks.

    Raises
    ------
    InputError: as `GramFile`; files that were not all made of the same stacks, or two of one layer.
    """
    with ExitStack() as opened:
        places = [place for path in paths for place in _places(path)]
        files = [opened.enter_context(GramFile(path, target)) for path, target in places]
        layers: dict[int, GramFile] = {}
        for file in files:
            if samples is not None:
                require_stacks(file, samples)
            if file.attrs.get("stacks_sha256") != files[0].attrs.get("stacks_sha256"):
                raise InputError(
                    f"{file.path} was made of other stacks than {files[0].path}; {remake(file.target)}"
                )
            first = layers.setdefault(file.attrs.whole("layer"), file)
            if first is not file:
                raise InputError(f"{file.path} is of one layer with {first.path}; {remake(file.target)}")
        yield layers


def _places(path: str | PathLike) -> list[tuple[Path, Path]]:
    """Return a file, or all of a folder's layers; and with each the workflow's target."""
    path = Path(path)
    if not path.is_dir():
        return [(path, path)]
    return [(path / layer_name(layer), path) for layer in layers_of(path.name)]

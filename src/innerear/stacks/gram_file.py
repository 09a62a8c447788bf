"""A layer's Gram matrices over all samples."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from innerear.errors import InputError
from innerear.io.files import atomic
from innerear.stacks.layout import Layout, Reader

#: name -> (axes, values), as `GramFile.write` and xarray take it
Arrays = dict[str, tuple[tuple[str, ...], np.ndarray]]
#: axis -> coordinates
Coords = dict[str, np.ndarray]

_KIND = "innerear-gram"
_CHUNK_VALUES = 2**18


class GramWriter:
    """Write the Gram matrices of one layer, in blocks; the file appears only when it is whole.

    Parameters
    ----------
    path : the file to write.
    coords : axis name → its coordinates; the length of each axis follows from it.
    attrs : provenance; None values are left out.

    Examples
    --------
    >>> with GramWriter("layer.h5", {"step": range(2), "sample": ["a", "b"]}) as gram:
    ...     gram.create("length", ("step", "sample"))
    ...     gram.put("length", np.array([[1.0, 2.0]]), step=slice(1, 2))
    >>> with GramFile("layer.h5") as gram:
    ...     gram.read("length", sample="b").tolist()
    [0.0, 2.0]
    """

    def __init__(
        self, path: str | PathLike, coords: Mapping[str, Any], attrs: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self._coords, self._attrs = dict(coords), dict(attrs or {})
        self._dims: dict[str, tuple[str, ...]] = {}
        self._open = ExitStack()

    def __enter__(self) -> "GramWriter":
        with ExitStack() as opening:
            temporary = opening.enter_context(atomic(self.path))
            file = opening.enter_context(h5py.File(temporary, "w", libver=("v110", "v110")))
            self._layout = Layout(file, _KIND, self._attrs)
            for name, coordinates in self._coords.items():
                self._layout.axis("/", name, coordinates)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *error) -> bool | None:
        if error[0] is None:
            self._layout.seal()
        return self._open.__exit__(*error)

    def create(self, name: str, dims: Sequence[str], dtype: Any = "float32") -> None:
        """Add a dataset over the named axes; chunked so that a block along `step` is contiguous."""
        shape = [len(self._layout.file[dim]) for dim in dims]
        chunks = None
        if len(shape) > 2:
            # One matrix of the last two axes, what blocks are written by and readers ask for; of a large
            # one as many rows as fit h5py's chunk cache.
            rows = max(1, min(shape[-2], _CHUNK_VALUES // max(1, shape[-1])))
            chunks = (*[1] * (len(shape) - 2), rows, shape[-1])
        self._layout.dataset("/", name, dims, shape, np.dtype(dtype), chunks)
        self._dims[name] = tuple(dims)

    def put(self, name: str, values: np.ndarray, **where: int | slice) -> None:
        """Write a block; axes not named in `where` are written whole."""
        selection = tuple(where.get(dim, slice(None)) for dim in self._dims[name])
        self._layout.file[name][selection] = values


class GramFile(Reader):
    """The Gram matrices and diagnostics of one layer, opened for reading.

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
    ) -> None:
        """Write whole arrays at once: name → (axis names, array)."""
        with GramWriter(path, coords, attrs) as gram:
            for name, (dims, values) in arrays.items():
                gram.create(name, dims, np.asarray(values).dtype)
                gram.put(name, np.asarray(values))

    def __contains__(self, name: str) -> bool:
        return name in self.file

    def dims(self, name: str) -> tuple[str, ...]:
        """Return the names of a dataset's axes."""
        dataset = self.dataset(name)
        with self._intact(f"dataset {name!r}"):
            return tuple(str(dataset.dims[axis].keys()[0]) for axis in range(dataset.ndim))

    def coords(self, axis: str) -> np.ndarray:
        """Return the coordinates of an axis; texts as str."""
        values = self.values(axis)
        return np.array([text.decode() for text in values]) if values.dtype.kind in "SO" else values

    def read(self, name: str, **where: str | int | slice) -> np.ndarray:
        """Return a dataset, or the part of it that `where` selects by axis: a label, a position or a slice.

        Examples
        --------
        ``gram.read("window_gram", branch="uncond", window="whole")``
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


def position(axis: str, labels: Sequence[str], label: str) -> int:
    """Return where a label stands on an axis.

    Raises
    ------
    InputError: the axis has no such label.
    """
    if label not in labels:
        raise InputError(f"{axis} {label!r} is not there; the file has {', '.join(labels)}")
    return labels.index(label)


@contextmanager
def open_layers(paths: Sequence[str | PathLike]) -> Iterator[dict[int, GramFile]]:
    """Open the files of several layers, and give each by the layer that it is of.

    Raises
    ------
    InputError: as `GramFile`.
    """
    with ExitStack() as opened:
        files = [opened.enter_context(GramFile(path)) for path in paths]
        yield {int(file.attrs["layer"]): file for file in files}

"""HDF5 files of ours, written: named axes, and a list of contents with the hash of each dataset.

The list, a JSON text in the dataset ``contents``, says of each dataset its axes, type and shape, and the
sha256 of each block of it: `rows` entries of one `axis`, so that a part can be checked alone. Texts it holds
itself. The attribute ``content_sha256`` is the hash of the list, ``header_sha256`` that of all attributes.

Readers of ours read no text of variable length: HDF5 keeps these without a checksum, and a flipped bit can
make it search for ever. They are there for other tools: netCDF reads no arrays of texts of one length.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any

import h5py
import numpy as np

from innerear.io.files import Patient, atomic
from innerear.io.names import name_in_study

#: 3: states without their mean over units, which lies beside them; booleans as int8; hashes of all contents
SCHEMA_VERSION = 3

CONTENTS, CONTENT_HASH, HEADER_HASH = "contents", "content_sha256", "header_sha256"
#: attributes that each file sets itself
OF_THE_FILE = ("schema", "schema_version", "written_as", CONTENT_HASH, HEADER_HASH)

#: types of values
TYPES = (
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "bool",
    "text",
)

_BLOCKS = 16
_DIGITS = 32  # of a block's hash: 128 bits


@dataclass(frozen=True)
class Entry:
    """A file's description of one of its datasets.

    Attributes
    ----------
    dims : names of its axes.
    type : NumPy's name of the values' type; ``bool`` (stored as int8) or ``text``.
    shape : of the dataset.
    axis, rows : a block is so many entries of this axis, 0 or 1.
    sha256 : of each block, in order.
    texts : the values in C order, if they are texts.
    """

    dims: list[str]
    type: str
    shape: list[int]
    axis: int
    rows: int
    sha256: list[str]
    texts: list[str] | None = None

    @classmethod
    def of(cls, dims: Sequence[str], values: np.ndarray, axis: int = 0, rows: int = 0) -> "Entry":
        """Describe values; by default blocks of the first axis of three or more."""
        if values.dtype.kind in "SUOT":
            every = values.ravel().tolist()
            texts = [one.decode() if isinstance(one, bytes) else str(one) for one in every]
            return cls(list(dims), "text", list(values.shape), 0, 1, [], texts)
        if values.dtype.name not in TYPES:
            raise ValueError(f"values of type {values.dtype} cannot be stored")
        length = values.shape[axis] if values.ndim else 1
        rows = max(1, rows or (-(-length // _BLOCKS) if values.ndim > 2 else length))
        blank = cls(list(dims), values.dtype.name, list(values.shape), axis, rows, [])
        return replace(blank, sha256=blank.digests(values))

    def digests(self, values: np.ndarray) -> list[str]:
        """Return the hash of each block of `values`, which begin with a block."""
        if not self.shape:
            return [digest([values])]
        starts = range(0, values.shape[self.axis], self.rows)
        return [digest(_rows(values, self.axis, start, start + self.rows)) for start in starts]


def _rows(values: np.ndarray, axis: int, start: int, stop: int) -> list[np.ndarray]:
    """Return a block in C order, in parts that lie in one piece of memory."""
    return [one[start:stop] for one in values] if axis else [values[start:stop]]


def digest(parts: Iterable[Any]) -> str:
    """Return the hash of a block, from its parts in C order."""
    found = hashlib.sha256()
    for part in parts:
        block: Any = np.ascontiguousarray(part)
        found.update(block)
    return found.hexdigest()[:_DIGITS]


def plain(value: Any) -> Any:
    """Return an attribute as a plain Python value."""
    if isinstance(value, bytes):
        return value.decode()
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def content_hash(contents: str) -> str:
    """Return the hash of a list of contents."""
    return hashlib.sha256(contents.encode()).hexdigest()


def header_hash(attrs: Mapping[str, Any]) -> str:
    """Return the hash of a file's attributes, by name."""
    covered = {name: plain(value) for name, value in attrs.items() if name != HEADER_HASH}
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()


class Layout:
    """A file being written: datasets with named axes in groups."""

    def __init__(self, file: Any, kind: str, attrs: Mapping[str, Any]) -> None:
        self.file = file
        self._contents: dict[str, Entry] = {}
        for name, value in attrs.items():
            if value is not None and name not in OF_THE_FILE:
                self.note(name, value)
        self.note("schema", kind)
        self.note("schema_version", SCHEMA_VERSION)

    def note(self, name: str, value: Any) -> None:
        """Add an attribute of the file."""
        if isinstance(value, str):
            self.file.attrs.create(name, *_text(value))
        else:
            self.file.attrs[name] = value

    def axis(self, group: str, name: str, coordinates: Any) -> None:
        """Add a coordinate that is also a dimension scale."""
        values = np.asarray(coordinates)
        parent = self.file.require_group(group)
        scale = parent.create_dataset(name, data=_writable(values), track_times=False)
        scale.make_scale(name)
        self._list(group, name, Entry.of([name], values))

    def dataset(
        self,
        group: str,
        name: str,
        dims: Sequence[str],
        values: np.ndarray,
        *,
        chunks: tuple[int, ...] | None = None,
        about: str = "",
        axis: int = 0,
        rows: int = 0,
    ) -> None:
        """Add a checksummed dataset, described by `about`, with the scales `dims` of its group as axes.

        It is hashed in blocks of so many `rows` of an `axis`, see `Entry`.
        """
        parent = self.file.require_group(group)
        if values.shape != (expected := tuple(len(parent[dim]) for dim in dims)):
            raise ValueError(f"{name} has shape {values.shape}, its axes {expected}")
        # netCDF knows no booleans. The attribute is xarray's own, which turns them into bool again.
        stored = values.astype(np.int8) if values.dtype == bool else _writable(values)
        checked = {} if stored.dtype.kind == "O" else {"chunks": chunks or True, "fletcher32": True}
        created = parent.create_dataset(name, data=stored, track_times=False, **checked)
        if values.dtype == bool:
            created.attrs["dtype"] = "bool"
        if about:
            created.attrs["long_name"] = about
        for position, dim in enumerate(dims):
            created.dims[position].attach_scale(parent[dim])
        self._list(group, name, Entry.of(dims, values, axis, rows))

    def _list(self, group: str, name: str, entry: Entry) -> None:
        self._contents[f"{group}/{name}".strip("/")] = entry

    def seal(self, path: str | PathLike) -> None:
        """Add the contents, the file's name and the hashes; nothing is added after them."""
        entries = {name: asdict(entry) for name, entry in self._contents.items()}
        contents = json.dumps(entries, sort_keys=True, separators=(",", ":"))
        values, shape, dtype = _text(contents)
        self.file.create_dataset(CONTENTS, shape, dtype, values, track_times=False)
        self.note("written_as", name_in_study(path))
        self.note(CONTENT_HASH, content_hash(contents))
        self.note(HEADER_HASH, header_hash(dict(self.file.attrs)))


def _writable(values: np.ndarray) -> np.ndarray:
    """Return values as h5py takes them: texts of variable length."""
    return values.astype(object).astype(h5py.string_dtype()) if values.dtype.kind in "UOT" else values


def _text(value: str) -> tuple[Any, tuple[()], np.dtype]:
    """Return a text as UTF-8 of its own length, with its shape and type in HDF5."""
    encoded = value.encode()
    return np.bytes_(encoded), (), h5py.string_dtype("utf-8", max(1, len(encoded)))


@contextmanager
def new_file(
    path: str | PathLike, kind: str, attrs: Mapping[str, Any], name: str | PathLike | None = None
) -> Iterator[Layout]:
    """Write a file; it is sealed and gets its name once it is whole.

    Parameters
    ----------
    path : the file to write.
    kind : of the file, which its readers ask for.
    attrs : its attributes; None values are left out, and `OF_THE_FILE` are the file's own.
    name : where it will lie in the end, if its folder still has a temporary name.
    """
    with (
        atomic(path) as temporary,
        Patient(temporary) as patient,
        h5py.File(patient, "w", libver=("v110", "v110")) as file,
    ):
        layout = Layout(file, kind, attrs)
        yield layout
        layout.seal(name or path)

"""HDF5 files of ours, read: nothing is returned that is not what was written, and any fault is an InputError.

What a file may hold is checked before it is read: plain datasets in the file itself, of the types that we
write, whose values all lie in it. So a small file cannot ask for more memory than its size, and a link, a
virtual dataset or external storage cannot put another file's bytes in the place of a layer.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from innerear.errors import InputError
from innerear.io.hdf5 import (
    CONTENT_HASH,
    CONTENTS,
    HEADER_HASH,
    SCHEMA_VERSION,
    TYPES,
    Entry,
    content_hash,
    digest,
    header_hash,
    plain,
)
from innerear.io.machine import cannot, file_size
from innerear.io.names import command, remake, require_name

# What h5py, JSON and NumPy raise for what they cannot read.
_UNREADABLE = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError)
_MOST_ATTRIBUTES, _LARGEST_ATTRIBUTE = 1000, 2**20
# A part of a larger dataset is read without keeping the blocks that it is checked with.
_KEPT_BYTES = 64 * 2**20
# Any: the low-level interface has no types.
_low: Any = h5py
_LAYOUTS = (_low.h5d.COMPACT, _low.h5d.CONTIGUOUS, _low.h5d.CHUNKED)


class Attributes(dict):
    """A file's attributes, as plain Python values; one that is not there is an InputError."""

    def __init__(self, values: dict[str, Any], path: Path, target: Path) -> None:
        super().__init__(values)
        self._path, self._target = path, target

    def __missing__(self, name: str) -> Any:
        raise InputError(f"{self._path} has no attribute {name!r}; {remake(self._target)}")

    def whole(self, name: str) -> int:
        """Return an attribute that must be a whole number."""
        return self._of(name, int)

    def text(self, name: str) -> str:
        """Return an attribute that must be a text."""
        return self._of(name, str)

    def _of(self, name: str, kind: type) -> Any:
        value = self[name]
        if type(value) is not kind:
            raise InputError(
                f"{self._path}: attribute {name!r} is {value!r}, not of type {kind.__name__}; "
                f"{remake(self._target)}"
            )
        return value


class Reader:
    """An HDF5 file of ours, opened for reading.

    Parameters
    ----------
    path : of the file.
    target : the workflow's target if it is not the file but its folder.
    content : the content hash that the file must have, as an index lists it.

    Raises
    ------
    InputError: a file that is missing, truncated, foreign, of another schema, of another name or content, or
        changed since it was written.
    """

    kind: str
    made_by: str
    #: whether to check the attributes and the name too; slower than reading a layer
    checks_header = True

    def __init__(
        self, path: str | PathLike, target: str | PathLike | None = None, content: str | None = None
    ) -> None:
        self.path, self.target = Path(path), Path(target or path)
        self.file: Any = self._opened()
        self._verified: dict[str, set[int]] = {}
        self._checked: dict[str, Any] = {}
        try:
            with self.understood("header"):
                self._check_schema()
                self._check_hashes(content)
        except BaseException:
            self.file.close()
            raise

    def _opened(self) -> Any:
        try:
            file_size(self.path)
            # No cache: each chunk is read once. No lock: a file that has its name is not written any more.
            return h5py.File(self.path, "r", rdcc_nbytes=0, locking=False)
        except FileNotFoundError:
            # A folder that lacks a file is there already, for Snakemake.
            how = remake(self.target) if self.target.exists() else f"make it with: {command(self.target)}"
            raise InputError(f"{self.path} does not exist; {how}") from None
        except OSError as error:
            said = cannot("read", self.path, error)
            raise InputError(
                said or f"{self.path} is truncated or not an HDF5 file ({error}); {remake(self.target)}"
            ) from None
        except _UNREADABLE as error:
            raise InputError(f"{self.path} cannot be read ({error}); {remake(self.target)}") from None

    @contextmanager
    def understood(self, what: str) -> Iterator[None]:
        """Turn h5py's errors into an InputError about a part of the file."""
        try:
            yield
        except InputError as error:
            if str(self.path) in str(error):
                raise
            raise self._refused(f"{what}: {error}") from None
        except _UNREADABLE as error:
            if said := cannot("read", self.path, error):
                raise InputError(said) from None
            raise InputError(
                f"{self.path}: {what} cannot be read, its checksum is broken or the file is "
                f"truncated ({error}); {remake(self.target)}"
            ) from None

    def _refused(self, what: str) -> InputError:
        return InputError(f"{self.path}: {what}; {remake(self.target)}")

    def _check_schema(self) -> None:
        version = self._attribute("schema_version")
        if isinstance(version, int) and version < SCHEMA_VERSION:
            raise self._refused(
                f"it has an older schema ({version}; this innerear reads {SCHEMA_VERSION}, in which all "
                "contents have a hash, and states no mean over units)"
            )
        kind = self._attribute("schema")
        if kind != self.kind:
            raise self._refused(
                f"it is an HDF5 file, but its 'schema' attribute is {kind!r} and not {self.kind!r}: it was "
                f"not written by rule {self.made_by}"
            )
        if version != SCHEMA_VERSION:
            raise self._refused(
                f"it has another, newer schema ({version}; this innerear reads {SCHEMA_VERSION})"
            )

    def _check_hashes(self, content: str | None) -> None:
        found = self._attribute(CONTENT_HASH)
        if content is not None and found != content:
            raise self._refused(
                f"its content hash is {found}, but the study's index lists {content}: it is another version, "
                "or another sample's file under this name"
            )
        if content_hash(self._contents_text) != found:
            raise self._refused(f"its list of contents has changed since it was written ({CONTENT_HASH})")
        if self.checks_header:
            if header_hash(self.attrs) != self._attribute(HEADER_HASH):
                raise self._refused("an attribute or a coordinate has changed since it was written")
            require_name(self.path, self.attrs["written_as"], self.target)

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _attribute(self, name: str) -> Any:
        """Return an attribute of the file as a plain Python value; None if it is not there."""
        if not _low.h5a.exists(self.file.id, name.encode()):
            return None
        stored = _low.h5a.open(self.file.id, name.encode())
        size, dtype = stored.get_storage_size(), stored.dtype
        simple = dtype.kind in "biufS"  # of texts, those of a fixed length
        if size > _LARGEST_ATTRIBUTE or not simple or len(stored.shape) > 1:
            raise self._refused(f"attribute {name!r} is of a type or a size that we do not write")
        value = np.empty(stored.shape, dtype)
        stored.read(value)
        return plain(value[()])

    @cached_property
    def attrs(self) -> Attributes:
        """All attributes of the file, as plain Python values."""
        with self.understood("header"):
            if _low.h5a.get_num_attrs(self.file.id) > _MOST_ATTRIBUTES:
                raise self._refused("it has more attributes than we write")
            values = {name: self._attribute(name) for name in self.file.attrs}
            return Attributes(values, self.path, self.target)

    @cached_property
    def _contents_text(self) -> str:
        stored = self._plain_dataset(CONTENTS, ())
        if stored.dtype.kind != "S":
            raise self._refused("its list of contents is no text")
        return stored[()].decode()

    @cached_property
    def contents(self) -> dict[str, Entry]:
        """The contents of the file: name → description of the dataset."""
        with self.understood("list of contents"):
            entries = {name: Entry(**entry) for name, entry in json.loads(self._contents_text).items()}
            for name, entry in entries.items():
                if not _fits(entry):
                    raise self._refused(f"its list of contents does not describe {name!r}")
            return entries

    def dataset(self, name: str) -> h5py.Dataset:
        """Return a dataset by name, once what it is has been checked; its values have not.

        Raises
        ------
        InputError: there is none of this name, or it is not what the list of contents says.
        """
        with self.understood(f"dataset {name!r}"):
            if name not in self.contents:
                raise InputError(f"{self.path} has no dataset {name!r}; {remake(self.target)}")
            if name not in self._checked:
                entry = self.contents[name]
                dataset = self._plain_dataset(name, tuple(entry.shape))
                if dataset.dtype != np.dtype({"bool": "int8"}.get(entry.type, entry.type)):
                    raise self._refused(
                        f"dataset {name!r} is of type {dataset.dtype}, but {entry.type} was written"
                    )
                self._checked[name] = dataset
            return self._checked[name]

    def _plain_dataset(self, name: str, shape: tuple[int, ...]) -> h5py.Dataset:
        """Return a dataset that lies in this file, as we write it, with all of its values."""
        item = self.file.id
        for part in name.encode().split(b"/"):
            if not item.links.exists(part):
                raise InputError(f"{self.path} has no dataset {name!r}; {remake(self.target)}")
            if item.links.get_info(part).type != _low.h5l.TYPE_HARD:
                raise self._refused(f"{name!r} is a link to another place, which is not followed")
            item = _low.h5o.open(item, part)
        if not isinstance(item, _low.h5d.DatasetID):
            raise self._refused(f"{name!r} is no dataset")
        made = item.get_create_plist()
        if made.get_external_count() or made.get_layout() not in _LAYOUTS:
            raise self._refused(f"dataset {name!r} has its values in another place, which is not followed")
        filters = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
        if filters - {_low.h5z.FILTER_FLETCHER32}:
            raise self._refused(f"dataset {name!r} has filters that we do not use")
        if item.shape != shape:
            raise self._refused(f"dataset {name!r} has shape {item.shape}, but {shape} was written")
        size = int(np.prod(shape, dtype=object)) * item.dtype.itemsize
        if not size <= item.get_storage_size() <= self.path.stat().st_size:
            raise self._refused(f"dataset {name!r} has values that are not in the file")
        return h5py.Dataset(item)

    def values(self, name: str, selection: Any = ()) -> np.ndarray:
        """Return a dataset's values, or a part of them, compared with what was written; texts as str."""
        if name in self.contents and self.contents[name].texts is not None:
            with self.understood(f"dataset {name!r}"):
                texts = np.array(self.contents[name].texts, dtype=str)
                return texts.reshape(self.contents[name].shape)[selection]
        dataset = self.dataset(name)
        with self.understood(f"dataset {name!r}"):
            entry = self.contents[name]
            values = self._verified_values(name, entry, dataset, selection)
            return values.astype(bool) if entry.type == "bool" else values

    def _verified_values(self, name: str, entry: Entry, dataset: h5py.Dataset, selection: Any) -> np.ndarray:
        chosen = list(selection) if isinstance(selection, tuple) else [selection]
        if not entry.shape:
            values = np.asarray(dataset[()])
            self._compare(name, entry, values, 0)
            return values
        chosen += [slice(None)] * (entry.axis + 1 - len(chosen))
        blocks = _blocks(entry, chosen[entry.axis])
        verified = self._verified.setdefault(name, set())
        if verified.issuperset(blocks):
            return dataset[tuple(chosen)]
        start, stop = blocks.start * entry.rows, min(blocks.stop * entry.rows, entry.shape[entry.axis])
        around = (*[slice(None)] * entry.axis, slice(start, stop))
        share = (stop - start) / max(1, entry.shape[entry.axis])
        if share * dataset.nbytes > _KEPT_BYTES:
            for block in blocks:
                if self._streamed(entry, dataset, block) != entry.sha256[block]:
                    raise OSError("its hash is not that of what was written")
            verified.update(blocks)
            return dataset[tuple(chosen)]
        values = dataset[around]
        self._compare(name, entry, values, blocks.start)
        chosen[entry.axis] = _moved(chosen[entry.axis], entry.shape[entry.axis], start)
        return values[tuple(chosen)]

    def _compare(self, name: str, entry: Entry, values: np.ndarray, first: int) -> None:
        found = entry.digests(values)
        if found != entry.sha256[first : first + len(found)]:
            raise OSError("its hash is not that of what was written")
        self._verified.setdefault(name, set()).update(range(first, first + len(found)))

    def _streamed(self, entry: Entry, dataset: h5py.Dataset, block: int) -> str:
        """Return the hash of a large block without holding it."""
        start, stop = block * entry.rows, min((block + 1) * entry.rows, entry.shape[entry.axis])
        if entry.axis:
            return digest(dataset[row, start:stop] for row in range(entry.shape[0]))
        if len(entry.shape) == 1:
            return digest([dataset[start:stop]])
        step = max(1, _KEPT_BYTES // max(1, dataset[0, :1].nbytes))
        parts = ((row, at) for row in range(start, stop) for at in range(0, entry.shape[1], step))
        return digest(dataset[row, at : at + step] for row, at in parts)


def _fits(entry: Entry) -> bool:
    """Return whether a description is one that a file of ours can have."""
    if entry.texts is not None:
        every = [type(one) is str for one in entry.texts]
        known = entry.type == "text" and all(every) and len(entry.dims) == len(entry.shape)
        return known and int(np.prod(entry.shape, dtype=object)) == len(every)
    length = entry.shape[entry.axis] if entry.shape else 1
    known = entry.type in TYPES and entry.type != "text" and entry.axis in (0, 1)
    return known and len(entry.sha256) == -(-length // entry.rows) and len(entry.dims) == len(entry.shape)


def _blocks(entry: Entry, place: int | slice) -> range:
    """Return which blocks a place on the hashed axis lies in."""
    rows = range(entry.shape[entry.axis])[place]
    if isinstance(rows, int):
        return range(rows // entry.rows, rows // entry.rows + 1)
    if not rows:
        return range(0)
    return range(min(rows) // entry.rows, max(rows) // entry.rows + 1)


def _moved(place: int | slice, length: int, start: int) -> int | slice:
    """Return a place on an axis of so many entries, counted from `start`."""
    if isinstance(place, slice):
        first, stop, step = place.indices(length)
        return slice(first - start, stop - start if stop >= 0 else None, step)
    return range(length)[place] - start

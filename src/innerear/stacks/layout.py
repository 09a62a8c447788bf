"""Layout of our HDF5 files, and errors for files that are foreign or broken."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from innerear.errors import InputError
from innerear.io.files import atomic

#: 3: states without their mean over units, which lies beside them; booleans as int8
SCHEMA_VERSION = 3

_DIGEST = "header_sha256"


def remake(path: Path) -> str:
    """Return the command that remakes a file."""
    return f"remake it with: snakemake --cores 1 --force {path}"


def _digest(file: Any) -> str:
    """Hash everything without a checksum of its own: texts, the file's attributes, and coordinates."""
    digest = hashlib.sha256()
    attrs = dict(file.attrs)
    # Any: the low-level interface has no types.
    low: Any = h5py
    for name in sorted(set(attrs) - {_DIGEST}):
        digest.update(f"{name}={attrs[name]};".encode(errors="surrogateescape"))

    def add(name: bytes) -> None:
        # The low-level interface is faster: a stack has many datasets, nearly all with checksums.
        item = low.h5o.open(file.id, name)
        if isinstance(item, low.h5d.DatasetID) and not _has_checksum(item):
            digest.update(f"{name.decode()}={h5py.Dataset(item)[()].tolist()};".encode())

    low.h5o.visit(file.id, add)
    return digest.hexdigest()


def _has_checksum(dataset: Any) -> bool:
    return dataset.get_create_plist().get_filter_by_id(h5py.h5z.FILTER_FLETCHER32) is not None


class Layout:
    """A file being written: datasets with named axes in groups."""

    def __init__(self, file: Any, kind: str, attrs: Mapping[str, Any]) -> None:
        self.file = file
        file.attrs["schema"] = kind
        file.attrs["schema_version"] = SCHEMA_VERSION
        for name, value in attrs.items():
            if value is not None:
                file.attrs[name] = value

    def axis(self, group: str, name: str, coordinates: Any) -> None:
        """Add a coordinate that is also a dimension scale."""
        values = np.asarray(coordinates)
        if values.dtype.kind in "UO":
            values = values.astype(h5py.string_dtype())
        scale = self.file.require_group(group).create_dataset(name, data=values, track_times=False)
        scale.make_scale(name)

    def dataset(
        self,
        group: str,
        name: str,
        dims: Sequence[str],
        values: np.ndarray,
        *,
        chunks: tuple[int, ...] | None = None,
        about: str = "",
    ) -> None:
        """Add a checksummed dataset, described by `about`, whose axes are the scales `dims` of its group."""
        parent = self.file.require_group(group)
        if values.shape != (expected := tuple(len(parent[dim]) for dim in dims)):
            raise ValueError(f"{name} has shape {values.shape}, its axes {expected}")
        # netCDF knows no booleans. The attribute is xarray's own, which turns them into bool again.
        stored = values.astype(np.int8) if values.dtype == bool else values
        created = parent.create_dataset(
            name, data=stored, chunks=chunks or True, fletcher32=True, track_times=False
        )
        if values.dtype == bool:
            created.attrs["dtype"] = "bool"
        if about:
            created.attrs["long_name"] = about
        for position, dim in enumerate(dims):
            created.dims[position].attach_scale(parent[dim])

    def seal(self) -> None:
        """Add the hash of attributes and coordinates; nothing is added after it."""
        self.file.attrs[_DIGEST] = _digest(self.file)


@contextmanager
def new_file(path: str | PathLike, kind: str, attrs: Mapping[str, Any]) -> Iterator[Layout]:
    """Write a file; it is sealed and gets its name once it is whole. None attributes are left out."""
    with atomic(path) as temporary, h5py.File(temporary, "w", libver=("v110", "v110")) as file:
        layout = Layout(file, kind, attrs)
        yield layout
        layout.seal()


class Reader:
    """An HDF5 file of ours, opened for reading; any fault is an InputError.

    Parameters
    ----------
    path : of the file.
    target : the workflow's target if it is not the file but its folder.
    """

    kind: str
    made_by: str
    #: whether to compare the hash of everything without a checksum; slower than reading a layer
    checks_header = True

    def __init__(self, path: str | PathLike, target: str | PathLike | None = None) -> None:
        self.path, self.target = Path(path), Path(target or path)
        try:
            # Any: h5py's types do not know what a name refers to. No cache: each chunk is read once.
            self.file: Any = h5py.File(self.path, "r", rdcc_nbytes=0)
        except FileNotFoundError:
            raise InputError(
                f"{path} does not exist; make it with: snakemake --cores 1 {self.target}"
            ) from None
        except OSError as error:
            raise InputError(
                f"{path} is truncated or not an HDF5 file ({error}); {remake(self.target)}"
            ) from None
        try:
            with self._intact("header"):
                self._check_schema()
                written = self.file.attrs.get(_DIGEST) if self.checks_header else None
                if written is not None and _digest(self.file) != written:
                    raise OSError("an attribute or a coordinate has changed since it was written")
        except InputError:
            self.file.close()
            raise

    @contextmanager
    def _intact(self, what: str) -> Iterator[None]:
        """Turn h5py's errors into an InputError about a part of the file."""
        try:
            yield
        except InputError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise InputError(
                f"{self.path}: {what} cannot be read, its checksum is broken or the file is "
                f"truncated ({error}); {remake(self.target)}"
            ) from None

    def _check_schema(self) -> None:
        kind = self.file.attrs.get("schema")
        if kind != self.kind:
            raise InputError(
                f"{self.path} is an HDF5 file, but its 'schema' attribute is {kind!r} and not {self.kind!r}: "
                f"it was not written by rule {self.made_by}; {remake(self.target)}"
            )
        version = int(self.file.attrs.get("schema_version", 0))
        if version != SCHEMA_VERSION:
            age = "an older" if version < SCHEMA_VERSION else "a newer"
            since = ", in which states have no mean over units" if version < SCHEMA_VERSION else ""
            raise InputError(
                f"{self.path} has {age} schema ({version}; this innerear reads {SCHEMA_VERSION}{since}); "
                f"{remake(self.target)}"
            )

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    @cached_property
    def attrs(self) -> dict[str, Any]:
        """All attributes of the file, as plain Python values."""
        return {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in self.file.attrs.items()
        }

    def dataset(self, name: str) -> h5py.Dataset:
        """Return a dataset by name."""
        with self._intact(f"dataset {name!r}"):
            if name not in self.file:
                raise InputError(f"{self.path} has no dataset {name!r}; {remake(self.target)}")
            return self.file[name]

    def values(self, name: str, selection: Any = ()) -> np.ndarray:
        """Return a dataset's values, or a part of them."""
        dataset = self.dataset(name)
        with self._intact(f"dataset {name!r}"):
            values = dataset[selection]
            return values.astype(bool) if str(dataset.attrs.get("dtype")) == "bool" else values

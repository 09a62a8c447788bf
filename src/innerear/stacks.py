"""Timestep stacks and Gram files: the only module that knows how they lie in HDF5.

Every axis is a netCDF-4 dimension scale, so that h5py, h5netcdf and
``xarray.open_dataset(path, engine="h5netcdf", group="residual")`` all see it by name.

Stack, one file per sample::

    attrs                schema, sample and prompt, model, generation, versions, hashes
    codes                int16 [codebook, frame]
    step/frame           int32 [step, codebook], −1 = padding
    step/seconds         float32 [step]
    step/complete        bool [step]
    residual/layer_00 …  float16 or float32 [branch, step, d_model]
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from innerear.errors import InputError, did_you_mean
from innerear.timeline import Timeline
from innerear.tracking import atomic

BRANCHES = ("cond", "uncond")
SITES = ("residual",)
SCHEMA_VERSION = 1

_STACK, _GRAM = "innerear-stack", "innerear-gram"
_CHUNK_STEPS = 64


def tokens_hash(codes: np.ndarray) -> str:
    """Return the sha256 of a clip's tokens.

    Parameters
    ----------
    codes : [K, T], hashed as int16 in C order, so that it is the same on every machine.
    """
    return hashlib.sha256(np.ascontiguousarray(codes, dtype="<i2").tobytes()).hexdigest()


def _remake(path: Path) -> str:
    return f"remake it with: snakemake --cores 1 --force {path}"


class _Layout:
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
        self, group: str, name: str, dims: Sequence[str], shape: Sequence[int], dtype: Any, chunks=None
    ) -> h5py.Dataset:
        """Add a checksummed dataset whose axes are the scales `dims` of the same group."""
        parent = self.file.require_group(group)
        created = parent.create_dataset(
            name, tuple(shape), dtype, chunks=chunks or True, fletcher32=True, track_times=False
        )
        for position, dim in enumerate(dims):
            created.dims[position].attach_scale(parent[dim])
        return created


class StackWriter:
    """Write one sample's stack; the file appears under its name only when it is whole.

    Parameters
    ----------
    path : the stack to write.
    attrs : the sample's provenance; None values are left out.
    codes : tokens [K, T], within int16.
    timeline : of the same T and K.
    branches : names of the C branches, in the order of the arrays to come.
    dtype : ``"float16"`` or ``"float32"``.

    Raises
    ------
    InputError: codes that do not fit the timeline; an unknown dtype.
    """

    def __init__(
        self,
        path: str | PathLike,
        attrs: Mapping[str, Any],
        codes: np.ndarray,
        timeline: Timeline,
        branches: Sequence[str] = BRANCHES,
        dtype: str = "float16",
    ) -> None:
        if dtype not in ("float16", "float32"):
            raise InputError(f"capture.dtype: {dtype!r} cannot be stored; use float16 or float32")
        if codes.shape != (timeline.n_codebooks, timeline.n_frames):
            raise InputError(
                f"{path}: codes of shape {codes.shape} do not fit {timeline.n_codebooks} codebooks × "
                f"{timeline.n_frames} frames"
            )
        self.path, self.timeline = Path(path), timeline
        self.branches, self.dtype = tuple(branches), np.dtype(dtype)
        self._attrs = {**attrs, "tokens_sha256": tokens_hash(codes)}
        self._codes = codes.astype(np.int16)
        self._hashes: dict[str, str] = {}
        self._open = ExitStack()

    def __enter__(self) -> "StackWriter":
        with ExitStack() as opening:
            temporary = opening.enter_context(atomic(self.path))
            file = opening.enter_context(h5py.File(temporary, "w", libver=("v110", "v110")))
            self._layout = _Layout(file, _STACK, self._attrs)
            self._write_timeline()
            self._open = opening.pop_all()
        return self

    def __exit__(self, *error) -> bool | None:
        if error[0] is None:
            digest = hashlib.sha256(self._codes.astype("<i2").tobytes())
            for name in sorted(self._hashes):
                digest.update(f"{name}={self._hashes[name]};".encode())
            self._layout.file.attrs["content_sha256"] = digest.hexdigest()
        return self._open.__exit__(*error)

    def _write_timeline(self) -> None:
        layout, timeline = self._layout, self.timeline
        n_steps, n_codebooks = timeline.n_steps, timeline.n_codebooks
        layout.file.attrs["n_steps"], layout.file.attrs["n_frames"] = n_steps, timeline.n_frames
        layout.file.attrs["frame_rate"] = timeline.frame_rate
        layout.axis("/", "codebook", np.arange(n_codebooks))
        layout.axis("/", "frame", np.arange(timeline.n_frames))
        layout.dataset("/", "codes", ("codebook", "frame"), self._codes.shape, "i2")[...] = self._codes
        layout.axis("step", "step", np.arange(n_steps))
        layout.axis("step", "codebook", np.arange(n_codebooks))
        for name, dims, values in (
            ("frame", ("step", "codebook"), timeline.frames),
            ("seconds", ("step",), timeline.seconds),
            ("complete", ("step",), timeline.complete),
        ):
            layout.dataset("step", name, dims, values.shape, values.dtype)[...] = values

    def write(self, site: str, layer: int, values: np.ndarray) -> None:
        """Add one layer's states.

        Parameters
        ----------
        site : one of `SITES`.
        layer : 0-based index of the block.
        values : [C, S, D], floating point, in the order of `branches`.

        Raises
        ------
        InputError: an unknown site, another shape, a NaN, or a value past the range of the dtype;
            the last two name layer, step and setting.
        """
        if site not in SITES:
            raise InputError(f"{site!r} is not a site{did_you_mean(site, SITES)}; use {', '.join(SITES)}")
        expected = (len(self.branches), self.timeline.n_steps)
        if values.ndim != 3 or values.shape[:2] != expected:
            raise InputError(
                f"{self.path}: layer {layer} has shape {values.shape}, expected "
                f"{len(self.branches)} branches × {self.timeline.n_steps} steps × d_model"
            )
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(values, dtype=self.dtype)
        if not np.isfinite(stored).all():
            self._refuse(layer, values, stored)
        d_model = values.shape[2]
        if site not in self._layout.file:
            self._layout.axis(site, "branch", self.branches)
            self._layout.axis(site, "step", np.arange(self.timeline.n_steps))
            self._layout.axis(site, "d_model", np.arange(d_model))
        chunks = (1, min(_CHUNK_STEPS, self.timeline.n_steps), d_model)
        name = f"layer_{layer:02d}"
        dims = ("branch", "step", "d_model")
        self._layout.dataset(site, name, dims, stored.shape, self.dtype, chunks)[...] = stored
        self._hashes[f"{site}/{name}"] = hashlib.sha256(stored.tobytes()).hexdigest()

    def _refuse(self, layer: int, values: np.ndarray, stored: np.ndarray) -> None:
        branch, step, unit = (int(i) for i in np.argwhere(~np.isfinite(stored))[0])
        where = f"layer {layer}, step {step}, branch {self.branches[branch]}, unit {unit}"
        value = values[branch, step, unit]
        if np.isfinite(value):
            raise InputError(
                f"{self.path}: {value:g} at {where} is past the range of {self.dtype}; "
                "set capture.dtype: float32"
            )
        raise InputError(
            f"{self.path}: {value} at {where}: the model itself overflowed; set model.dtype: float32"
        )


class _Reader:
    """An HDF5 file of ours, opened for reading; whatever is wrong with it is an InputError."""

    kind: str
    made_by: str

    def __init__(self, path: str | PathLike) -> None:
        self.path = Path(path)
        try:
            # Any: what lies under a name is known to us, not to the types of h5py.
            self._file: Any = h5py.File(self.path, "r")
        except FileNotFoundError:
            raise InputError(f"{path} does not exist; make it with: snakemake --cores 1 {path}") from None
        except OSError as error:
            raise InputError(
                f"{path} is truncated or not an HDF5 file ({error}); {_remake(self.path)}"
            ) from None
        try:
            self._check_schema()
        except InputError:
            self._file.close()
            raise

    def _check_schema(self) -> None:
        kind = self._file.attrs.get("schema")
        if kind != self.kind:
            raise InputError(
                f"{self.path} is an HDF5 file, but its 'schema' attribute is {kind!r} and not {self.kind!r}: "
                f"it was not written by rule {self.made_by}; {_remake(self.path)}"
            )
        version = int(self._file.attrs.get("schema_version", 0))
        if version != SCHEMA_VERSION:
            age = "an older" if version < SCHEMA_VERSION else "a newer"
            raise InputError(
                f"{self.path} has {age} schema ({version}; this innerear reads {SCHEMA_VERSION}); "
                f"{_remake(self.path)}"
            )

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def attrs(self) -> dict[str, Any]:
        """All attributes of the file, as plain Python values."""
        return {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in self._file.attrs.items()
        }

    def _dataset(self, name: str) -> h5py.Dataset:
        try:
            return self._file[name]
        except KeyError:
            raise InputError(f"{self.path} has no dataset {name!r}; {_remake(self.path)}") from None

    def _values(self, name: str, selection: Any = ()) -> np.ndarray:
        dataset = self._dataset(name)
        try:
            return dataset[selection]
        except OSError as error:
            raise InputError(
                f"{self.path}: dataset {name!r} cannot be read, its checksum is broken or the file is "
                f"truncated ({error}); {_remake(self.path)}"
            ) from None


class Stack(_Reader):
    """A sample's timestep stack, opened for reading.

    Raises
    ------
    InputError: a truncated, foreign, older or checksum-broken file; a layer that it does not have.
    """

    kind, made_by = _STACK, "generate"

    def __init__(self, path: str | PathLike) -> None:
        super().__init__(path)
        #: int16 [K, T]
        self.codes: np.ndarray = self._values("codes")
        #: int32 [S, K], −1 = padding
        self.frames: np.ndarray = self._values("step/frame")
        #: float32 [S]
        self.seconds: np.ndarray = self._values("step/seconds")
        #: bool [S]
        self.complete: np.ndarray = self._values("step/complete").astype(bool)

    @property
    def timeline(self) -> Timeline:
        """The timeline of the clip."""
        n_codebooks, n_frames = self.codes.shape
        return Timeline(n_frames, n_codebooks, float(self._file.attrs["frame_rate"]))

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the C branches, in order."""
        return tuple(name.decode() for name in self._values("residual/branch"))

    def layers(self, site: str = "residual") -> list[int]:
        """Return the layers that are stored at a site, in order."""
        if site not in self._file:
            return []
        return sorted(int(name.removeprefix("layer_")) for name in self._file[site] if "layer_" in name)

    def shape(self, layer: int, site: str = "residual") -> tuple[int, int, int]:
        """Return (C, S, D) of a layer without reading it."""
        return self._dataset(self._name(layer, site)).shape

    def read(self, layer: int, site: str = "residual", steps: slice = slice(None)) -> np.ndarray:
        """Return a layer's states [C, S, D] as stored (float16 or float32), all steps or a slice."""
        return self._values(self._name(layer, site), np.s_[:, steps, :])

    def _name(self, layer: int, site: str) -> str:
        if layer not in (stored := self.layers(site)):
            raise InputError(
                f"{self.path} has no layer {layer} at site {site!r}; it has {stored or 'none'}. "
                f"Add it to capture.layers and {_remake(self.path)}"
            )
        return f"{site}/layer_{layer:02d}"


class GramWriter:
    """Write the Gram matrices of one layer, in blocks; the file appears only when it is whole.

    Parameters
    ----------
    path : the file to write.
    coords : axis name → its coordinates; the length of each axis follows from it.
    attrs : provenance; None values are left out.

    Examples
    --------
    >>> with GramWriter(path, {"step": range(403), "sample": ids, "sample_2": ids}, {}) as gram:
    ...     gram.create("gram", ("step", "sample", "sample_2"))
    ...     gram.put("gram", block, step=slice(0, 64))
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
            self._layout = _Layout(file, _GRAM, self._attrs)
            for name, coordinates in self._coords.items():
                self._layout.axis("/", name, coordinates)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *error) -> bool | None:
        return self._open.__exit__(*error)

    def create(self, name: str, dims: Sequence[str], dtype: Any = "float32") -> None:
        """Add a dataset over the named axes; chunked so that a block along `step` is contiguous."""
        shape = [len(self._layout.file[dim]) for dim in dims]
        # One matrix of the last two axes a chunk: what blocks are written by and what readers ask for.
        chunks = tuple([1] * (len(shape) - 2) + shape[-2:]) if len(shape) > 2 else None
        self._layout.dataset("/", name, dims, shape, np.dtype(dtype), chunks)
        self._dims[name] = tuple(dims)

    def put(self, name: str, values: np.ndarray, **where: int | slice) -> None:
        """Write a block; axes not named in `where` are written whole."""
        selection = tuple(where.get(dim, slice(None)) for dim in self._dims[name])
        self._layout.file[name][selection] = values


class GramFile(_Reader):
    """The Gram matrices and diagnostics of one layer, opened for reading.

    Raises
    ------
    InputError: a truncated, foreign, older or checksum-broken file; a dataset that it does not have.
    """

    kind, made_by = _GRAM, "gram"

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
        return name in self._file

    def dims(self, name: str) -> tuple[str, ...]:
        """Return the names of a dataset's axes."""
        dataset = self._dataset(name)
        return tuple(str(dataset.dims[axis].keys()[0]) for axis in range(dataset.ndim))

    def coords(self, axis: str) -> np.ndarray:
        """Return the coordinates of an axis; texts as str."""
        values = self._values(axis)
        return values.astype(str) if values.dtype.kind in "SO" else values

    def read(self, name: str, **where: int | slice) -> np.ndarray:
        """Return a dataset, or the part of it that `where` selects by axis name."""
        unknown = set(where) - set(self.dims(name))
        if unknown:
            raise InputError(
                f"{name!r} has no axis {sorted(unknown)[0]!r}; it has {', '.join(self.dims(name))}"
            )
        return self._values(name, tuple(where.get(dim, slice(None)) for dim in self.dims(name)))


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

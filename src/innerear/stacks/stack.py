"""Timestep stacks: the hidden states of every step of one sample."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from innerear.errors import InputError, did_you_mean
from innerear.stacks.layout import Reader, new_file, remake
from innerear.study.architectures import SITES
from innerear.timeline import Timeline, Window, chunk_steps

BRANCHES = ("cond", "uncond")
_KIND = "innerear-stack"
_STATES = "hidden states without their mean over units"
_LEVELS = "mean over units that was removed; raw state = state + level"


def tokens_hash(codes: np.ndarray) -> str:
    """Return the sha256 of a clip's tokens [K, T], as little-endian int16 in C order."""
    return hashlib.sha256(np.ascontiguousarray(codes, dtype="<i2").tobytes()).hexdigest()


class StackWriter:
    """Write one sample's stack; the file appears under its name once it is whole.

    Parameters
    ----------
    path : the stack to write.
    attrs : the sample's provenance; None values are left out.
    codes : tokens [K, T], within int16.
    timeline : of the same T and K.
    branches : names of the C branches, in the arrays' order.
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
            self._layout = opening.enter_context(new_file(self.path, _KIND, self._attrs))
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
        layout.file.attrs["delays"] = np.array(timeline.delays, np.int32)
        for field, values in zip(Window._fields, zip(*timeline.windows, strict=True), strict=True):
            layout.file.attrs[f"window_{field}"] = np.array(values, np.int32)
        layout.axis("/", "codebook", np.arange(n_codebooks))
        layout.axis("/", "frame", np.arange(timeline.n_frames))
        layout.dataset("/", "codes", ("codebook", "frame"), self._codes, about="tokens of the clip")
        layout.axis("step", "step", np.arange(n_steps))
        layout.axis("step", "codebook", np.arange(n_codebooks))
        for name, (dims, values) in timeline.labels().items():
            layout.dataset("step", name, dims, values)

    def write(self, site: str, layer: int, values: np.ndarray, levels: np.ndarray | None = None) -> None:
        """Add one layer's states.

        Parameters
        ----------
        site : one of `SITES`.
        layer : 0-based index of the block.
        values : [C, S, D], floating point, in the order of `branches`; without their mean over units.
        levels : float32 [C, S], that mean; zeros where nothing was removed.

        Raises
        ------
        InputError: an unknown site, another shape, a NaN, or a value past the range of the dtype.
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
        chunks = (1, chunk_steps(self.timeline.n_steps), d_model)
        levels = np.zeros(expected, np.float32) if levels is None else levels.astype(np.float32)
        for kind, dims, array, shape, about in (
            ("layer", ("branch", "step", "d_model"), stored, chunks, _STATES),
            ("level", ("branch", "step"), levels, None, _LEVELS),
        ):
            name = f"{kind}_{layer:02d}"
            self._layout.dataset(site, name, dims, array, chunks=shape, about=about)
            self._hashes[f"{site}/{name}"] = hashlib.sha256(array.tobytes()).hexdigest()

    def write_input_gap(self, gap: np.ndarray) -> None:
        """Add the largest difference between the branches' inputs of layer 0 at each step, float [S].

        In models with cross-attention, zero proves that both branches read the same tokens at the same steps.
        """
        self._layout.dataset("step", "input_gap", ("step",), gap.astype(np.float32))

    def write_nll(self, nll: np.ndarray, distributions: Sequence[str]) -> None:
        """Add the negative log-likelihood of the tokens, float [distribution, K, T] in nats."""
        dims = ("distribution", "codebook", "frame")
        axes = (distributions, *map(np.arange, nll.shape[1:]))
        for name, coordinates in zip(dims, axes, strict=True):
            self._layout.axis("likelihood", name, coordinates)
        self._layout.dataset("likelihood", "nll", dims, nll.astype(np.float32), about="nats of each token")

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


class Stack(Reader):
    """A sample's timestep stack, opened for reading.

    Raises
    ------
    InputError: a truncated, foreign, older or checksum-broken file; a missing layer.
    """

    kind, made_by = _KIND, "generate"

    def __init__(self, path: str | PathLike) -> None:
        super().__init__(path)
        #: int16 [K, T]
        self.codes: np.ndarray = self.values("codes")
        #: int32 [S, K], −1 = padding
        self.frames: np.ndarray = self.values("step/frame")
        #: float32 [S]
        self.seconds: np.ndarray = self.values("step/seconds")
        #: bool [S]
        self.complete: np.ndarray = self.values("step/complete").astype(bool)

    @property
    def timeline(self) -> Timeline:
        """The timeline of the clip."""
        n_codebooks, n_frames = self.codes.shape
        fields = [self.attrs[f"window_{field}"] for field in Window._fields]
        windows = tuple(Window(*map(int, one)) for one in zip(*fields, strict=True))
        delays = tuple(map(int, self.attrs["delays"]))
        return Timeline(n_frames, n_codebooks, float(self.file.attrs["frame_rate"]), windows, delays)

    @property
    def input_gap(self) -> np.ndarray | None:
        """The largest difference between the branches' inputs of layer 0, float32 [S]; None if not stored."""
        return self.values("step/input_gap") if "step/input_gap" in self.file else None

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The sites that are stored."""
        return tuple(site for site in SITES if site in self.file)

    @cached_property
    def branches(self) -> tuple[str, ...]:
        """Names of the C branches, in order."""
        site = self.sites[0] if self.sites else "residual"
        return tuple(name.decode() for name in self.values(f"{site}/branch"))

    def layers(self, site: str = "residual") -> list[int]:
        """Return the layers that are stored at a site, in order."""
        with self._intact(f"group {site!r}"):
            names = list(self.file[site]) if site in self.file else []
        return sorted(int(name.removeprefix("layer_")) for name in names if "layer_" in name)

    @property
    def places(self) -> list[tuple[str, int]]:
        """The (site, layer) pairs that are stored."""
        return [(site, layer) for site in self.sites for layer in self.layers(site)]

    def shape(self, layer: int, site: str = "residual") -> tuple[int, int, int]:
        """Return (C, S, D) of a layer without reading it."""
        return self.dataset(self._name(layer, site)).shape

    def read(
        self, layer: int, site: str = "residual", steps: slice = slice(None), *, raw: bool = False
    ) -> np.ndarray:
        """Return a layer's states [C, S, D] as stored (float16 or float32), all steps or a slice.

        Parameters
        ----------
        raw : add the mean over units that was removed, which the model's LayerNorms discard; float32.
        """
        states = self.values(self._name(layer, site), np.s_[:, steps, :])
        return states + self.levels(layer, site)[:, steps, None] if raw else states

    def levels(self, layer: int, site: str = "residual") -> np.ndarray:
        """Return the mean over units of each raw state, float32 [C, S]."""
        return self.values(self._name(layer, site).replace("layer_", "level_"))

    def _name(self, layer: int, site: str) -> str:
        name = f"{site}/layer_{layer:02d}"
        if name not in self.file:
            raise InputError(
                f"{self.path} has no layer {layer} at site {site!r}; it has {self.layers(site) or 'none'}. "
                f"Add it to capture.layers and {remake(self.path)}"
            )
        return name


class LayerReader(Reader):
    """One layer's states in a stack, opened for many reads; the rest of the file is not checked.

    Raises
    ------
    InputError: a truncated, foreign or older file; no such layer; a broken checksum when states are read.
    """

    kind, made_by, checks_header = _KIND, "generate", False

    def __init__(self, path: str | PathLike, layer: int, site: str = "residual") -> None:
        super().__init__(path)
        self._name = f"{site}/layer_{layer:02d}"
        self._states = self.dataset(self._name)

    def read(self, steps: slice) -> np.ndarray:
        """Return the states [C, S, D] of some steps as stored."""
        with self._intact(f"dataset {self._name!r}"):
            return self._states[:, steps]

    @property
    def levels(self) -> np.ndarray:
        """The mean over units of each raw state, float32 [C, S]."""
        return self.values(self._name.replace("layer_", "level_"))

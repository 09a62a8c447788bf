"""Timestep stacks: the hidden states of every step of one sample."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from innerear.errors import InputError, did_you_mean
from innerear.io.hdf5 import new_file
from innerear.io.hdf5_reader import Reader
from innerear.io.names import remake
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
        self._open = ExitStack()

    def __enter__(self) -> "StackWriter":
        with ExitStack() as opening:
            self._layout = opening.enter_context(new_file(self.path, _KIND, self._attrs))
            self._write_timeline()
            self._open = opening.pop_all()
        return self

    def __exit__(self, *error) -> bool | None:
        return self._open.__exit__(*error)

    def _write_timeline(self) -> None:
        layout, timeline = self._layout, self.timeline
        n_steps, n_codebooks = timeline.n_steps, timeline.n_codebooks
        layout.note("n_steps", n_steps)
        layout.note("n_frames", timeline.n_frames)
        layout.note("frame_rate", timeline.frame_rate)
        layout.note("delays", np.array(timeline.delays, np.int32))
        for field, values in zip(Window._fields, zip(*timeline.windows, strict=True), strict=True):
            layout.note(f"window_{field}", np.array(values, np.int32))
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
        stored = _rounded(values, self.dtype)
        if not _is_finite(stored):
            self._refuse(layer, values, stored)
        d_model = values.shape[2]
        if site not in self._layout.file:
            self._layout.axis(site, "branch", self.branches)
            self._layout.axis(site, "step", np.arange(self.timeline.n_steps))
            self._layout.axis(site, "d_model", np.arange(d_model))
        rows = chunk_steps(self.timeline.n_steps)
        levels = np.zeros(expected, np.float32) if levels is None else levels.astype(np.float32)
        dims = ("branch", "step", "d_model")
        # Hashed by chunk, so that a few steps can be read and checked alone.
        add = partial(self._layout.dataset, site, axis=1, rows=rows)
        add(f"layer_{layer:02d}", dims, stored, chunks=(1, rows, d_model), about=_STATES)
        add(f"level_{layer:02d}", dims[:2], levels, about=_LEVELS)

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


def _rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return values in the dtype of a stack; what is past its range becomes infinite."""
    values = np.ascontiguousarray(values)
    if (values.dtype, dtype) == (np.float32, np.float16):
        import torch  # which rounds alike, in a quarter of the time

        return torch.from_numpy(values).half().numpy()
    with np.errstate(over="ignore"):
        return values.astype(dtype, copy=False)


def _is_finite(values: np.ndarray) -> bool:
    """Return whether no value is infinite or NaN: in float16, by the bits, in a fifteenth of the time."""
    if values.dtype != np.float16:
        return bool(np.isfinite(values).all())
    exponents = values.view(np.uint16) & 0x7C00
    return bool(exponents.max(initial=0) < 0x7C00)


class Stack(Reader):
    """A sample's timestep stack, opened for reading.

    Raises
    ------
    InputError: as `Reader`; a stack whose parts do not fit each other; a missing layer.
    """

    kind, made_by = _KIND, "generate"

    def __init__(self, path: str | PathLike, content: str | None = None) -> None:
        super().__init__(path, content=content)
        try:
            #: int16 [K, T]
            self.codes: np.ndarray = self.values("codes")
            #: int32 [S, K], −1 = padding
            self.frames: np.ndarray = self.values("step/frame")
            #: float32 [S]
            self.seconds: np.ndarray = self.values("step/seconds")
            #: bool [S]
            self.complete: np.ndarray = self.values("step/complete")
            with self.understood("timeline"):
                #: of the clip
                self.timeline = self._timeline()
                self._check_shapes()
        except BaseException:
            self.close()
            raise

    def _timeline(self) -> Timeline:
        n_codebooks, n_frames = self.codes.shape
        fields = [self.attrs[f"window_{field}"] for field in Window._fields]
        windows = tuple(Window(*map(int, one)) for one in zip(*fields, strict=True))
        delays = tuple(map(int, self.attrs["delays"]))
        return Timeline(n_frames, n_codebooks, float(self.attrs["frame_rate"]), windows, delays)

    def _check_shapes(self) -> None:
        """Refuse a stack if its states have other branches or steps than its labels."""
        n_steps = self.timeline.n_steps
        if {len(self.frames), len(self.seconds), len(self.complete), self.attrs["n_steps"]} != {n_steps}:
            raise self._refused(f"its steps are not the {n_steps} of its {self.codes.shape[1]} frames")
        expected = [len(self.branches), n_steps]
        for site, layer in self.places:
            shape = self.contents[f"{site}/layer_{layer:02d}"].shape
            if len(shape) != 3 or shape[:2] != expected:
                raise self._refused(
                    f"{site}, layer {layer}, has shape {shape}, not {expected[0]} branches × {n_steps} steps "
                    "× d_model"
                )
            if self.contents[f"{site}/level_{layer:02d}"].shape != expected:
                raise self._refused(f"the levels of {site}, layer {layer}, are not those of its states")

    @property
    def input_gap(self) -> np.ndarray | None:
        """The largest difference between the branches' inputs of layer 0, float32 [S]; None if not stored."""
        return self.values("step/input_gap") if "step/input_gap" in self.contents else None

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The sites that are stored."""
        return tuple(site for site in SITES if f"{site}/branch" in self.contents)

    @cached_property
    def branches(self) -> tuple[str, ...]:
        """Names of the C branches, in order."""
        site = self.sites[0] if self.sites else "residual"
        return tuple(self.values(f"{site}/branch").tolist())

    def layers(self, site: str = "residual") -> list[int]:
        """Return the layers that are stored at a site, in order."""
        prefix = f"{site}/layer_"
        return sorted(int(name.removeprefix(prefix)) for name in self.contents if name.startswith(prefix))

    @property
    def places(self) -> list[tuple[str, int]]:
        """The (site, layer) pairs that are stored."""
        return [(site, layer) for site in self.sites for layer in self.layers(site)]

    def shape(self, layer: int, site: str = "residual") -> tuple[int, ...]:
        """Return (C, S, D) of a layer without reading it."""
        return tuple(self.contents[self._name(layer, site)].shape)

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
        if name not in self.contents:
            absent = f"{self.path} has no layer {layer} at site {site!r}"
            there = ", ".join(self.sites)
            if site not in SITES:
                raise InputError(f"{absent}{did_you_mean(str(site), SITES)}; its sites are {there}")
            setting, found = (
                ("layers", self.layers(site)) if site in self.sites else ("sites", f"the sites {there}")
            )
            raise InputError(f"{absent}; it has {found}. Add it to capture.{setting} and {remake(self.path)}")
        return name


class LayerReader(Reader):
    """One layer's states in a stack, opened for many reads; the attributes are not checked.

    Parameters
    ----------
    content : the content hash that an index lists, which stands for the sample.

    Raises
    ------
    InputError: as `Reader`; no such layer.
    """

    kind, made_by, checks_header = _KIND, "generate", False

    def __init__(
        self, path: str | PathLike, layer: int, site: str = "residual", content: str | None = None
    ) -> None:
        super().__init__(path, content=content)
        self._name = f"{site}/layer_{layer:02d}"
        try:
            self.dataset(self._name)
        except BaseException:
            self.close()
            raise

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape [C, S, D] of the states."""
        return tuple(self.contents[self._name].shape)

    def read(self, steps: slice) -> np.ndarray:
        """Return the states [C, S, D] of some steps as stored."""
        return self.values(self._name, np.s_[:, steps])

    @property
    def levels(self) -> np.ndarray:
        """The mean over units of each raw state, float32 [C, S]."""
        return self.values(self._name.replace("layer_", "level_"))

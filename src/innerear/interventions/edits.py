"""Edits of hidden states: add a direction, project a subspace out, put other states in their place.

An edit says where it works: layers, site, branch, samples and steps. It sees states as they are recorded,
without their mean over units, which a pre-norm model does not read.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from innerear.errors import InputError, shown
from innerear.interventions.directions import Direction
from innerear.study.architectures import check_sites
from innerear.study.generation_settings import integer

#: of the guidance branches, those that an edit works on
BRANCHES = ("both", "cond", "uncond")

#: Takes the states [C, n, steps, D] of the C branches that are edited in one call and of n samples, and
#: returns what takes their place.
Change = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Edit(ABC):
    """An edit of states, and where it works.

    Attributes
    ----------
    layers : 0-based, numbers or one number; None for all. An edit that knows a layer of its own (of a
        `Direction`) works there by default.
    site : of `innerear.study.architectures.SITES`.
    branch : ``"both"``, ``"cond"`` or ``"uncond"``.
    samples : numbers of the samples in the call of `generate` or `replay`; None for all.
    steps : (first, one past the last) step of the clip; None for all.
    """

    _: KW_ONLY
    layers: Sequence[int] | int | None = None
    site: str = "residual"
    branch: str = "both"
    samples: Sequence[int] | None = None
    steps: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_sites([self.site], key="site")
        if self.branch not in BRANCHES:
            raise InputError(f"branch: {self.branch!r} is not allowed; use {', '.join(BRANCHES)}")
        if self.steps is not None:
            pair = list(self.steps) if isinstance(self.steps, tuple | list) else []
            if len(pair) != 2 or not all(isinstance(one, int) for one in pair) or not 0 <= pair[0] < pair[1]:
                raise InputError(
                    f"steps: {self.steps!r} is no (first, one past the last) with 0 ≤ first < last"
                )
        if self.samples is not None:
            chosen = [] if isinstance(self.samples, str) else self.samples
            chosen = list(chosen) if isinstance(chosen, Iterable) else []
            if not chosen:
                raise InputError(
                    f"samples: {shown(self.samples)} is no list of samples; give their numbers, such as [0], "
                    "or None for all"
                )
            object.__setattr__(self, "samples", [integer("samples", one, 0, 1_000_000) for one in chosen])

    @abstractmethod
    def prepare(self, run: "Run") -> "Prepared":
        """Return what changes the states of one run.

        Raises
        ------
        InputError: values of another size than the run's.
        """


class Run(NamedTuple):
    """One run of the model, as edits see it.

    Attributes
    ----------
    samples : int64 [n], the number of the sample in each row of a branch.
    n_samples : of the call; a run may hold some of them.
    n_steps : S of the clip.
    d_model, device : of the states.
    pre_norm : whether the model reads states without their mean over units.
    """

    samples: torch.Tensor
    n_samples: int
    n_steps: int
    d_model: int
    device: torch.device
    pre_norm: bool

    def centred(self, states: torch.Tensor) -> torch.Tensor:
        """Return raw states [..., D] as they are recorded."""
        return states - states.mean(dim=-1, keepdim=True) if self.pre_norm else states


#: Makes the `Change` of steps start … stop of a clip, for branches by their number among cond and uncond.
Prepared = Callable[[int, int, Sequence[int]], Change]


@dataclass(frozen=True)
class Add(Edit):
    """Add α · direction: x → x + α v.

    Attributes
    ----------
    direction : a `Direction`, or a vector [D], or one of each sample [B, D].
    alpha : a number, or one of each sample [B].
    schedule : a factor of each step [S]; 1 unless given.

    Examples
    --------
    >>> from innerear import ActivationExtractor, intervene, load_model
    >>> extractor = ActivationExtractor(load_model("nano"), layers=[3])
    >>> with intervene(extractor.model, [Add(np.zeros(96), 1.0, layers=3)]):
    ...     wav = extractor.generate(["happy upbeat music"], seeds=[7], duration=1)
    """

    direction: Any
    alpha: Any = 1.0
    _: KW_ONLY
    schedule: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.direction, Direction) and self.layers is None:
            object.__setattr__(self, "layers", self.direction.layer)
            object.__setattr__(self, "site", self.direction.site)

    def prepare(self, run: Run) -> Prepared:
        """Return what edits a run's states at each call; InputError for arrays that do not fit."""
        given = self.direction.vector if isinstance(self.direction, Direction) else self.direction
        vector = _of_samples("direction", given, 1, run)
        _require("direction", vector, {-1: run.d_model})
        alpha = _of_samples("alpha", self.alpha, 0, run)
        amount = (
            (alpha[..., None] * vector).expand(len(run.samples), run.d_model)[:, None].to(run.device)
        )  # [n, 1, D]
        if self.schedule is None:
            return lambda start, stop, branches: lambda states: states + amount
        factors = _array("schedule", self.schedule)
        _require("schedule", factors, {0: run.n_steps}, ndim=1)
        factors = factors[:, None].to(run.device)  # [S, 1]
        return lambda start, stop, branches: lambda states: states + amount * factors[start:stop]


@dataclass(frozen=True)
class ProjectOut(Edit):
    """Project a subspace out: x → x − (x − μ) Bᵀ B.

    Attributes
    ----------
    basis : orthonormal rows [k, D], or those of each sample [B, k, D]; see `orthonormal`.
    mean : what the projection becomes, μ [D] or [B, D]; 0 unless given.
    """

    basis: Any
    mean: Any = None

    def prepare(self, run: Run) -> Prepared:
        """Return what edits a run's states at each call; InputError for arrays that do not fit."""
        basis = _of_samples("basis", self.basis, 2, run)
        _require("basis", basis, {-1: run.d_model})
        product = basis @ basis.mT
        if not product.numel():
            raise InputError(f"basis: an array of shape {tuple(basis.shape)} has no rows, and spans nothing")
        if (product - torch.eye(product.shape[-1])).abs().max() > 1e-4:
            raise InputError(
                "basis: its rows are not orthonormal; innerear.interventions.orthonormal makes them"
            )
        zero = torch.zeros(run.d_model)
        mean = zero if self.mean is None else _of_samples("mean", self.mean, 1, run)
        _require("mean", mean, {-1: run.d_model})
        basis = basis.to(run.device)
        mean = mean.expand(len(run.samples), run.d_model)[:, None].to(run.device)  # [n, 1, D]

        def change(states: torch.Tensor) -> torch.Tensor:
            return states - (run.centred(states) - mean) @ basis.mT @ basis

        return lambda start, stop, branches: change


@dataclass(frozen=True)
class Replace(Edit):
    """Put other states in the place of states.

    Attributes
    ----------
    by : states of all steps, [S, D], [S, B, D], or [S, C, B, D] with the C branches cond and uncond, as the
        extractor returns them; or a function that takes the states [C, n, steps, D] of a call (C = 2 where it
        runs both branches, cond first) and returns as many.
    """

    by: Any

    def prepare(self, run: Run) -> Prepared:
        """Return what edits a run's states at each call; InputError for arrays that do not fit."""
        if callable(self.by):
            return lambda start, stop, branches: lambda now: _put(run, now, self._applied(run.centred(now)))
        states = _array("by", self.by)
        if not 2 <= states.ndim <= 4:
            raise InputError(
                f"by: states of shape {tuple(states.shape)} are not [S, D], [S, B, D] or [S, C, B, D]"
            )
        _require("by", states, {0: run.n_steps, -1: run.d_model})
        if states.ndim == 2:
            states = states[:, None].expand(-1, len(run.samples), -1)
        else:
            states = _rows("by", states, -2, run)
        states = states[:, None] if states.ndim == 3 else states  # [S, C or 1, n, D]
        states = states.permute(1, 2, 0, 3).to(run.device)  # [C or 1, n, S, D]
        if len(states) not in (1, 2):
            raise InputError(f"by: {len(states)} branches; give cond and uncond")

        def change(start: int, stop: int, branches: Sequence[int]) -> Change:
            own = states[list(branches) if len(states) == 2 else [0], :, start:stop]
            return lambda now: _put(run, now, own)

        return change

    def _applied(self, states: torch.Tensor) -> torch.Tensor:
        found = _tensor("by: what the function returned", self.by(states))
        if found.shape != states.shape:
            raise InputError(
                f"by: the function returned {tuple(found.shape)} for states {tuple(states.shape)} "
                "[C, n, steps, D]"
            )
        return found.to(states)


def _put(run: Run, now: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Put recorded states in the place of raw ones; equal ones change nothing, to the last bit."""
    return now + (run.centred(new) - run.centred(now)).to(now.dtype)


def orthonormal(vectors: Any) -> torch.Tensor:
    """Return an orthonormal basis [k, D] of the span of vectors [m, D]; k is their rank.

    Raises
    ------
    InputError: no finite real numbers [m, D] with m ≥ 1, or only zeros.

    Examples
    --------
    >>> orthonormal([[2.0, 0.0, 0.0], [1.0, 0.0, 0.0]]).abs().tolist()
    [[1.0, 0.0, 0.0]]
    """
    given = _array("vectors", vectors)
    if given.ndim != 2 or not given.numel():
        raise InputError(f"vectors of shape {tuple(given.shape)} are not [m, D] with m ≥ 1")
    _, size, rows = torch.linalg.svd(given.double(), full_matrices=False)
    kept = size > 1e-6 * size.max()
    if not kept.any():
        raise InputError("vectors: all are 0, and span nothing")
    return rows[kept].float()


def _array(name: str, values: Any) -> torch.Tensor:
    """Return numbers of any kind of array, finite, as a float32 tensor on the CPU."""
    found = _tensor(name, values).detach().cpu().float()
    if not torch.isfinite(found).all():
        raise InputError(f"{name}: holds NaN or infinity")
    return found


def _tensor(name: str, values: Any) -> torch.Tensor:
    """Return real numbers of any kind of array as a tensor."""
    try:
        found = torch.as_tensor(np.asarray(values) if isinstance(values, list | tuple) else values)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name}: a {type(values).__name__} is no array of numbers") from None
    if found.is_complex():
        raise InputError(f"{name}: holds complex numbers; states are real")
    return found


def _of_samples(name: str, values: Any, ndim: int, run: Run) -> torch.Tensor:
    """Return chosen rows of an array with an axis of samples, or an array of so many axes as it is."""
    found = _array(name, values)
    if found.ndim == ndim:
        return found
    if found.ndim != ndim + 1:
        raise InputError(
            f"{name}: an array of shape {tuple(found.shape)}; give {ndim} axes, or one of samples before them"
        )
    return _rows(name, found, 0, run)


def _rows(name: str, values: torch.Tensor, axis: int, run: Run) -> torch.Tensor:
    if values.shape[axis] != run.n_samples:
        raise InputError(
            f"{name}: values of {values.shape[axis]} samples, but the call has sample {run.n_samples - 1} as "
            "its last, counted from 0"
        )
    return values.index_select(axis, run.samples)


def _require(name: str, values: torch.Tensor, sizes: dict[int, int], ndim: int | None = None) -> None:
    fits = ndim in (None, values.ndim) and all(values.shape[axis] == size for axis, size in sizes.items())
    if not fits:
        wanted = " and ".join(
            f"{size} {'dimensions of the model' if axis == -1 else 'steps of the clip'}"
            for axis, size in sizes.items()
        )
        raise InputError(f"{name}: an array of shape {tuple(values.shape)} does not fit {wanted}")

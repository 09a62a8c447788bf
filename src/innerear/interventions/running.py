"""Edit a model's states while it generates or replays: hooks that live and die in one context."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from innerear.errors import InputError
from innerear.interventions.edits import Edit, Prepared, Run
from innerear.models import MusicModel, Pass
from innerear.models.base import EditHook
from innerear.study.architectures import check_sites, resolve_layers

if TYPE_CHECKING:
    from innerear.capture.extractor import ActivationExtractor

_BRANCHES = ("cond", "uncond")


class _Covering:
    """One edit in one run: which branches and rows it covers, and what it does there."""

    def __init__(self, edit: Edit, prepared: Prepared, rows: torch.Tensor | None) -> None:
        self.edit, self.prepared = edit, prepared
        self.rows = rows  # bool [1, n, 1, 1], None for all

    def __call__(self, states: torch.Tensor, start: int, branches: tuple[str, ...]) -> torch.Tensor:
        """Return states [C, n, steps, D] of the steps from `start`, edited."""
        stop = start + states.shape[2]
        first, last = self.edit.steps or (start, stop)
        if stop <= first or last <= start:
            return states
        chosen = [i for i, one in enumerate(branches) if self.edit.branch in ("both", one)]
        if not chosen:
            return states
        old = states if len(chosen) == len(branches) else states[chosen]
        new = self.prepared(start, stop, [_BRANCHES.index(branches[i]) for i in chosen])(old)
        if self.rows is not None:
            new = torch.where(self.rows, new, old)
        if first > start or last < stop:
            step = torch.arange(start, stop, device=states.device)
            new = torch.where(((first <= step) & (step < last))[:, None], new, old)
        if len(chosen) == len(branches):
            return new
        states = states.clone()
        states[chosen] = new
        return states


class _Place(EditHook):
    """The edits of one layer and site; a hook of its module, or of what it reads."""

    def __init__(self, where: str, edits: list[Edit], model: MusicModel) -> None:
        self.where, self.edits, self.model = where, edits, model
        self.passes: Sequence[Pass] | None = None  # None outside a run

    def begin(self, samples: Sequence[int], passes: Sequence[Pass], n_samples: int) -> None:
        """Prepare the edits for a run over some of a call's samples; −1 only fills the run up."""
        ran = {branch for one in passes for branch in one.branches}
        n_steps = sum(one.n_steps for one in passes if one.branches == passes[0].branches)
        device = self.model.device
        # What fills a run up repeats its first sample.
        numbers = torch.tensor([one if one >= 0 else samples[0] for one in samples])
        run = Run(numbers, n_samples, n_steps, self.model.d_model, device, self.model.pre_norm)
        self.now = []
        for edit in self.edits:
            if edit.branch not in ("both", *ran):
                raise InputError(f"branch: {edit.branch} does not run here, only {', '.join(sorted(ran))}")
            if edit.steps and edit.steps[0] >= n_steps:
                raise InputError(f"steps: {edit.steps} lie past the clip's {n_steps} steps")
            last = max(edit.samples or [0])
            if last >= n_samples:
                raise InputError(
                    f"samples: {last} is not there; the call has the samples 0 to {n_samples - 1}"
                )
            rows = None
            if edit.samples is not None or -1 in samples:
                wanted = set(samples) - {-1} if edit.samples is None else set(edit.samples)
                rows = torch.tensor([one in wanted for one in samples], device=device)[None, :, None, None]
            self.now.append(_Covering(edit, edit.prepare(run), rows))
        self.n_samples, self.calls = len(samples), 0
        self.done: dict[tuple[str, ...], int] = {}
        self.passes = passes

    def end(self) -> None:
        """Forget the run."""
        self.passes, self.now = None, []

    @torch.no_grad()
    def edit(self, states: torch.Tensor) -> torch.Tensor:
        """Return the states of one call, [rows, positions, D], as all edits of this place leave them."""
        if self.passes is None or self.calls == len(self.passes):
            raise InputError(
                f"{self.where} ran outside of generate and replay while an intervention was open: its edits "
                "would not know the step; close the intervention first"
            )
        now = self.passes[self.calls]
        self.calls += 1
        n_prefix = states.shape[1] - now.n_steps
        if (
            states.shape[0] != len(now.branches) * self.n_samples
            or n_prefix < 0
            or (n_prefix and not now.prefixed)
        ):
            raise InputError(
                f"{self.where} ran {tuple(states.shape[:2])} rows × positions, not {self.n_samples} samples "
                f"in {', '.join(now.branches)} × {now.n_steps}"
            )
        start = self.done.get(now.branches, 0)
        self.done[now.branches] = start + now.n_steps
        own = states[:, n_prefix:].unflatten(0, (len(now.branches), self.n_samples))  # [C, n, steps, D]
        edited = own
        # Products of edits are in float32, also where the model's own are in float16.
        with torch.autocast("cuda", enabled=False) if own.is_cuda else nullcontext():
            for one in self.now:
                edited = one(edited, start, now.branches)
        if edited is own:
            return states
        edited = edited.to(states.dtype).flatten(0, 1)
        if not edited.isfinite().all() and states.isfinite().all():
            raise InputError(
                f"{self.where}: edited states hold NaN or infinity from step {start} on; give smaller "
                "values, or a function that returns finite ones"
            )
        return torch.cat([states[:, :n_prefix], edited], dim=1) if n_prefix else edited

    @abstractmethod
    def register(self, module: nn.Module) -> RemovableHandle:
        """Hook a module."""


class _OutputEdit(_Place):
    def register(self, module: nn.Module) -> RemovableHandle:
        """Edit what the module gives out."""
        return module.register_forward_hook(self)

    def __call__(self, module: nn.Module, inputs: tuple, output: Any) -> Any:
        if isinstance(output, tuple):
            return (self.edit(output[0]), *output[1:])
        return self.edit(output)


class _InputEdit(_Place):
    def register(self, module: nn.Module) -> RemovableHandle:
        """Edit what the module reads."""
        return module.register_forward_pre_hook(self)

    def __call__(self, module: nn.Module, inputs: tuple) -> tuple:
        return (self.edit(inputs[0]), *inputs[1:])


@contextmanager
def intervene(
    model: "MusicModel | ActivationExtractor", edits: Sequence[Edit] | Edit | None = None
) -> Iterator[None]:
    """Edit a model's states in every run while the context is open; nothing is left when it ends.

    Generating and replaying are edited alike. States that are recorded meanwhile are the edited ones, so open
    the capture inside. Edits of one place follow each other in the order given; those of a context that is
    opened inside another follow the outer one's.

    Parameters
    ----------
    model : from `innerear.load_model`, or an `ActivationExtractor`, for its model.
    edits : `Add`, `ProjectOut`, `Replace`; one or several, without which there is nothing to open.

    Raises
    ------
    InputError: something else than edits, or a layer or site that the model does not have; while the model
        runs, an edit whose values do not fit the clip, or a run that is neither `generate` nor `replay`.

    Examples
    --------
    >>> from innerear import ActivationExtractor, load_model
    >>> from innerear.interventions import ProjectOut, orthonormal
    >>> extractor = ActivationExtractor(load_model("nano"))
    >>> basis = orthonormal(np.random.default_rng(0).normal(size=(3, 96)))
    >>> with intervene(extractor, ProjectOut(basis, layers=3)):
    ...     wav = extractor.generate(["happy upbeat music"], seeds=[7], duration=1)
    """
    model = getattr(model, "model", model)
    if not isinstance(model, MusicModel):
        raise InputError(f"a {type(model).__name__} is no model of innerear.load_model, and no extractor")
    hooks = _hooks(model, edits)
    handles = []

    @contextmanager
    def run(samples: Sequence[int], passes: Sequence[Pass], n_samples: int) -> Iterator[None]:
        try:
            for hook in hooks.values():
                hook.begin(samples, passes, n_samples)
            yield
        finally:
            for hook in hooks.values():
                hook.end()

    try:
        for (site, layer), hook in hooks.items():
            module = model.modules(site)[layer]
            handles.append(hook.register(module))
        model.observers.append(run)
        yield
    finally:
        for handle in handles:
            handle.remove()
        if run in model.observers:
            model.observers.remove(run)


def _hooks(model: MusicModel, edits: Any) -> dict[tuple[str, int], "_Place"]:
    """Return a hook for each site and layer that is edited, with its edits in order."""
    places: dict[tuple[str, int], list[Edit]] = {}
    listed: Any = edits if isinstance(edits, Iterable) else [edits]
    for edit in listed:
        if not isinstance(edit, Edit):
            raise InputError(f"edits: a {type(edit).__name__} is none; give Add, ProjectOut or Replace")
        [site] = check_sites([edit.site], model.sites, "site")
        layers = [0] if site == "input" else resolve_layers(edit.layers, model.n_layers, "layers")
        for layer in layers:
            places.setdefault((site, layer), []).append(edit)
    return {
        (site, layer): (_InputEdit if site == "input" else _OutputEdit)(
            f"layer {layer}, site {site}", own, model
        )
        for (site, layer), own in places.items()
    }

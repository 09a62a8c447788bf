"""Record a transformer's states while it generates: every step and branch of chosen layers and sites.

The hooks know torch modules, not models; the model announces its calls (`Pass`). States stay on the device
for a block of steps and are then copied into one preallocated CPU array per layer: a GPU does not wait at
each step.

A pre-norm model reads its residual stream through LayerNorm, which subtracts each vector's mean over units.
This level is therefore no part of a state. It is removed on the device in float32, before any rounding, and
kept beside the states.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from innerear.errors import InputError
from innerear.models.base import Pass, StateHook
from innerear.study.architectures import check_sites, resolve_layers

_BLOCK_STEPS = 64

#: A site and a layer.
Place = tuple[str, int]


class _PlaceRecord:
    """The states of one place in one run of the model, gathered in blocks of steps."""

    def __init__(
        self, place: Place, n_samples: int, n_steps: int, passes: Sequence[Pass], pre_norm: bool
    ) -> None:
        self.where = f"layer {place[1]}, site {place[0]}"
        self.n_samples, self.n_steps, self.passes, self.pre_norm = n_samples, n_steps, passes, pre_norm
        self.calls = 0
        #: states [S, B, D] and levels [S, B] by branch on the CPU; in pinned memory for a GPU's, which are
        #: then copied while it computes
        self.states: dict[str, torch.Tensor] = {}
        self.levels: dict[str, torch.Tensor] = {}
        self._done: dict[tuple[str, ...], int] = {}  # steps gathered, by the branches of a pass
        self._blocks: dict[tuple[str, ...], list[torch.Tensor]] = {}  # [rows, steps, D] on the device

    def append(self, output: torch.Tensor) -> None:
        """Append the steps of one call: states [rows, positions, D], which nobody changes afterwards."""
        if self.calls == len(self.passes):
            raise InputError(
                f"{self.where} ran more often than the {len(self.passes)} calls of the clip: "
                "something else ran the model during the recording"
            )
        now = self.passes[self.calls]
        n_rows, n_positions, _ = output.shape
        if n_rows != len(now.branches) * self.n_samples:
            raise InputError(
                f"{self.where} ran {n_rows} rows for {self.n_samples} samples in the branches "
                f"{', '.join(now.branches)}: another kind of guidance is not supported"
            )
        if n_positions != now.n_steps and not (now.prefixed and n_positions > now.n_steps):
            raise InputError(
                f"{self.where} read {n_positions} positions in call {self.calls}, not {now.n_steps}: "
                "positions of an unknown prefix or prompt are not steps"
            )
        self.calls += 1
        if n_positions > now.n_steps:
            output = output[:, n_positions - now.n_steps :]  # without the prefix, which comes first
        self._blocks.setdefault(now.branches, []).append(output)
        if len(self._blocks[now.branches]) == _BLOCK_STEPS or self.calls == len(self.passes):
            for branches in list(self._blocks):
                self._gather(branches)

    def _gather(self, branches: tuple[str, ...]) -> None:
        block = torch.cat(self._blocks.pop(branches), dim=1)  # calls × [rows, steps, D] -> [rows, steps, D]
        block, level = _without_level(block) if self.pre_norm else (block, torch.zeros(block.shape[:2]))
        first = self._done.get(branches, 0)
        self._done[branches] = last = first + block.shape[1]
        for kept, values in ((self.states, block), (self.levels, level)):
            for branch, rows in zip(branches, values.split(self.n_samples), strict=True):
                if branch not in kept:
                    shape = (self.n_steps, self.n_samples, *values.shape[2:])
                    kept[branch] = torch.empty(shape, dtype=values.dtype, pin_memory=values.is_cuda)
                # [B, steps, …] -> [steps, B, …] on the device: the copy is contiguous on both sides.
                ordered = rows.transpose(0, 1).contiguous()
                kept[branch][first:last].copy_(ordered, non_blocking=True)

    def require_whole(self) -> None:
        """Raise an InputError unless all announced calls were made."""
        if self.calls != len(self.passes):
            raise InputError(
                f"{self.where} ran {self.calls} times in a clip of {len(self.passes)} calls: the model "
                "stopped early or skipped the layer"
            )


def _without_level(block: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Split raw states [rows, steps, D] into states without their mean over units, and this mean, float32."""
    level = block.mean(dim=2, dtype=torch.float32)
    if block.dtype == torch.float32:
        return block.sub_(level[..., None]), level
    return (block.float() - level[..., None]).to(block.dtype), level


class Recording:
    """The states of chosen places, by sample.

    Attributes
    ----------
    places : (site, layer) pairs.
    branches : names of the C branches, after the first run.
    """

    def __init__(self, places: Sequence[Place], n_samples: int, n_steps: int, pre_norm: bool) -> None:
        self.places = list(places)
        self.n_samples, self.n_steps, self.pre_norm = n_samples, n_steps, pre_norm
        self.branches: tuple[str, ...] = ()
        self._run: dict[Place, _PlaceRecord] = {}  # the current run's; empty outside a run
        self._states: dict[Place, torch.Tensor] = {}  # [B, C, S, D]
        self._levels: dict[Place, torch.Tensor] = {}  # [B, C, S]

    @contextmanager
    def run(self, samples: Sequence[int], passes: Sequence[Pass]) -> Iterator[None]:
        """Record one run of the model over some of the samples (an `Observer`).

        A sample −1 is a row that only fills the run up; its states are dropped. A failed run leaves nothing
        behind and can be repeated with fewer samples.

        Raises
        ------
        InputError: the calls of a place are not the passes announced.
        """
        self._run = {
            place: _PlaceRecord(place, len(samples), self.n_steps, passes, self.pre_norm)
            for place in self.places
        }
        try:
            yield
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # the last copies
            for place, record in self._run.items():
                record.require_whole()
                self.branches = tuple(record.states)
                self._keep(self._states, place, record.states, samples)
                self._keep(self._levels, place, record.levels, samples)
        finally:
            self._run = {}

    def append(self, place: Place, states: torch.Tensor) -> None:
        """Append one call of one place; outside a run nothing is recorded."""
        if place in self._run:
            self._run[place].append(states)

    def _keep(
        self,
        kept: dict[Place, torch.Tensor],
        place: Place,
        values: Mapping[str, torch.Tensor],
        samples: Sequence[int],
    ) -> None:
        first = values[self.branches[0]]
        if place not in kept:
            shape = (self.n_samples, len(values), self.n_steps, *first.shape[2:])
            kept[place] = torch.empty(shape, dtype=first.dtype)
        for row, sample in enumerate(samples):
            if sample >= 0:
                for branch, of_branch in enumerate(values.values()):
                    kept[place][sample, branch] = of_branch[:, row]

    def sample(
        self, site: str, layer: int, sample: int, branches: Sequence[str] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a sample's states [C, S, D] and levels [C, S] at one place, of all or of these branches."""
        which = [self.branches.index(branch) for branch in branches or self.branches]
        return self._states[site, layer][sample, which], self._levels[site, layer][sample, which]

    def all(self, site: str, layer: int, *, raw: bool = False) -> torch.Tensor:
        """Return the states [S, C, B, D] of all samples at one place; `raw` adds their mean over units again.

        Without `raw` it is a view.
        """
        states = self._states[site, layer]
        if raw:
            states = states.float() + self._levels[site, layer][..., None]
        return states.permute(2, 1, 0, 3)  # [B, C, S, D] -> [S, C, B, D]


@contextmanager
def capture(
    modules: Mapping[str, Sequence[nn.Module]],
    *,
    n_samples: int,
    n_steps: int,
    pre_norm: bool,
    layers: Sequence[int] | None = None,
) -> Iterator[Recording]:
    """Hook modules and remove the hooks when the context ends, however it ends.

    Parameters
    ----------
    modules : by site, the L modules whose outputs are recorded, [rows, positions, D] at each call (or a tuple
        that begins with that). For ``"input"``, the first module's input is recorded.
    n_samples, n_steps : B and S of the generation.
    pre_norm : whether the model reads its residual stream through LayerNorm; each state's mean over units
        is then removed and kept as its level. Otherwise levels are 0.
    layers : which layers; None for all.

    Raises
    ------
    InputError: an unknown layer or site.
    """
    sites = check_sites(modules)
    chosen = resolve_layers(layers, max(len(of_layers) for of_layers in modules.values()))
    # The input of every other layer is the residual stream of the layer before.
    places = [(site, layer) for site in sites for layer in ([0] if site == "input" else chosen)]
    recording = Recording(places, n_samples, n_steps, pre_norm)
    handles = []
    try:
        for site, layer in recording.places:
            module = modules[site][layer]
            if site == "input":
                handles.append(module.register_forward_pre_hook(_InputHook(recording, (site, layer))))
            else:
                handles.append(module.register_forward_hook(_OutputHook(recording, (site, layer))))
        yield recording
    finally:
        for handle in handles:
            handle.remove()


class _OutputHook(StateHook):
    """Records a module's output, or the first of several."""

    def __init__(self, recording: Recording, place: Place) -> None:
        self._recording, self._place = recording, place

    def __call__(self, module: nn.Module, inputs: tuple, output: Any) -> None:
        # A copy, because a later layer may work in place.
        self.record((output[0] if isinstance(output, tuple) else output).clone())

    def record(self, states: torch.Tensor) -> None:
        """Record the states [rows, positions, D] of one call."""
        self._recording.append(self._place, states)


class _InputHook(_OutputHook):
    """Records a module's first input."""

    def __call__(self, module: nn.Module, inputs: tuple) -> None:  # type: ignore[override]
        self.record(inputs[0].clone())

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
        self.branches = tuple(dict.fromkeys(branch for one in passes for branch in one.branches))
        self.calls = 0
        #: states [S, C · B, D] and levels [S, C · B] on the CPU, from the first block on; in pinned memory
        #: for a GPU's, which are then copied while it computes
        self.kept: tuple[torch.Tensor, torch.Tensor] | None = None
        self._done: dict[tuple[str, ...], int] = {}  # steps gathered, by the branches of a pass
        self._blocks: dict[tuple[str, ...], list[torch.Tensor]] = {}  # [rows, steps, D] on the device

    def append(self, output: torch.Tensor) -> None:
        """Append the steps of one call: states [rows, positions, D], which nobody changes afterwards."""
        if self.calls == len(self.passes):
            raise InputError(
                f"{self.where} ran more often than the {len(self.passes)} calls of the clip: "
                "something else ran the model during the recording"
            )
        n_steps, branches, prefixed = self.passes[self.calls]
        n_rows, n_positions, _ = output.shape
        if n_rows != len(branches) * self.n_samples:
            raise InputError(
                f"{self.where} ran {n_rows} rows for {self.n_samples} samples in the branches "
                f"{', '.join(branches)}: another kind of guidance is not supported"
            )
        if n_positions != n_steps:
            if not (prefixed and n_positions > n_steps):
                raise InputError(
                    f"{self.where} read {n_positions} positions in call {self.calls}, not {n_steps}: "
                    "positions of an unknown prefix or prompt are not steps"
                )
            output = output[:, n_positions - n_steps :]  # without the prefix, which comes first
        self.calls += 1
        block = self._blocks.setdefault(branches, [])
        block.append(output)
        if len(block) == _BLOCK_STEPS or self.calls == len(self.passes):
            for one in list(self._blocks):
                self._gather(one)

    def _gather(self, branches: tuple[str, ...]) -> None:
        block = torch.cat(self._blocks.pop(branches), dim=1)  # calls × [rows, steps, D] -> [rows, steps, D]
        values = _without_level(block) if self.pre_norm else (block, torch.zeros(block.shape[:2]))
        if self.kept is None:
            self.kept = self._room(values[0]), self._room(values[1])
        first = self._done.get(branches, 0)
        self._done[branches] = last = first + block.shape[1]
        row = self.branches.index(branches[0]) * self.n_samples  # a call's branches follow one another
        for kept, found in zip(self.kept, values, strict=True):
            # [rows, steps, …] -> [steps, rows, …], on a GPU before the copy, which is then of one piece.
            ordered = found.transpose(0, 1)
            ordered = ordered.contiguous() if ordered.is_cuda else ordered
            kept[first:last, row : row + len(found)].copy_(ordered, non_blocking=True)

    def _room(self, found: torch.Tensor) -> torch.Tensor:
        """Return an array for all steps of what was found in some, [rows, steps, …]."""
        shape = self.n_steps, len(self.branches) * self.n_samples, *found.shape[2:]
        with torch.inference_mode(False):  # whoever reads the states may want gradients
            return torch.empty(shape, dtype=found.dtype, pin_memory=found.is_cuda)

    def by_sample(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return states [S, C, B, D] and levels [S, C, B] of a whole run."""
        assert self.kept is not None
        states, levels = (kept.unflatten(1, (len(self.branches), self.n_samples)) for kept in self.kept)
        return states, levels

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


class _Hook(StateHook):
    """Records a module's output, or the first of several; as a pre-hook, its first input."""

    def __init__(self) -> None:
        self.run: _PlaceRecord | None = None  # the current one; outside a run nothing is recorded

    def __call__(self, module: nn.Module, inputs: tuple, output: Any = None) -> None:
        states = inputs if output is None else output
        # A copy, because a later layer may work in place.
        self.record((states[0] if isinstance(states, tuple) else states).clone())

    def record(self, states: torch.Tensor) -> None:
        """Record the states [rows, positions, D] of one call."""
        if self.run is not None:
            self.run.append(states)


class Recording:
    """The states of chosen places, by sample.

    Attributes
    ----------
    hooks : (site, layer) → what records there.
    branches : names of the C branches, after the first run.
    """

    def __init__(self, places: Sequence[Place], n_steps: int, pre_norm: bool) -> None:
        self.hooks = {place: _Hook() for place in places}
        self.n_steps, self.pre_norm = n_steps, pre_norm
        self.branches: tuple[str, ...] = ()
        # by sample: the records of its last run, and its row among them
        self._rows: dict[int, tuple[dict[Place, _PlaceRecord], int]] = {}

    @property
    def places(self) -> list[Place]:
        """The (site, layer) pairs that are recorded."""
        return list(self.hooks)

    @contextmanager
    def run(self, samples: Sequence[int], passes: Sequence[Pass]) -> Iterator[None]:
        """Record one run of the model over some of the samples (an `Observer`).

        A sample −1 is a row that only fills the run up; its states are dropped. A failed run leaves nothing
        behind and can be repeated with fewer samples.

        Raises
        ------
        InputError: the calls of a place are not the passes announced.
        """
        records = {
            place: _PlaceRecord(place, len(samples), self.n_steps, passes, self.pre_norm)
            for place in self.hooks
        }
        for place, hook in self.hooks.items():
            hook.run = records[place]
        try:
            yield
            if torch.cuda.is_initialized():  # waiting would start CUDA on a GPU that the job may not use
                torch.cuda.synchronize()  # the last copies
            for record in records.values():
                record.require_whole()
                self.branches = record.branches
            self._rows |= {sample: (records, row) for row, sample in enumerate(samples) if sample >= 0}
        finally:
            for hook in self.hooks.values():
                hook.run = None

    def sample(
        self, site: str, layer: int, sample: int, branches: Sequence[str] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a sample's states [C, S, D] and levels [C, S] at one place, of all or of these branches."""
        records, row = self._rows[sample]
        which = [self.branches.index(branch) for branch in branches or self.branches]
        states, levels = (kept[:, which, row] for kept in records[site, layer].by_sample())
        return states.transpose(0, 1), levels.transpose(0, 1)

    def all(self, site: str, layer: int, *, raw: bool = False) -> torch.Tensor:
        """Return the states [S, C, B, D] of all samples at one place; `raw` adds their mean over units again.

        Without `raw` it is a view, where all samples ran together.
        """
        rows = [(records[site, layer], row) for _, (records, row) in sorted(self._rows.items())]
        first = rows[0][0]
        if rows == [(first, row) for row in range(first.n_samples)]:
            states, levels = first.by_sample()
        else:
            found = [[kept[:, :, row] for kept in record.by_sample()] for record, row in rows]
            states, levels = (torch.stack(of_samples, dim=2) for of_samples in zip(*found, strict=True))
        return states.float() + levels[..., None] if raw else states


@contextmanager
def capture(
    modules: Mapping[str, Sequence[nn.Module]],
    *,
    n_steps: int,
    pre_norm: bool,
    layers: Sequence[int] | None = None,
) -> Iterator[Recording]:
    """Hook modules and remove the hooks when the context ends, however it ends.

    Parameters
    ----------
    modules : by site, the L modules whose outputs are recorded, [rows, positions, D] at each call (or a tuple
        that begins with that). For ``"input"``, the first module's input is recorded.
    n_steps : S, of the whole generation.
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
    recording = Recording(places, n_steps, pre_norm)
    handles = []
    try:
        for (site, layer), hook in recording.hooks.items():
            module = modules[site][layer]
            before = site == "input"
            handles.append(
                module.register_forward_pre_hook(hook) if before else module.register_forward_hook(hook)
            )
        yield recording
    finally:
        for handle in handles:
            handle.remove()

"""Hear a transformer while it generates: every step, every branch, chosen layers and sites.

The hooks know torch modules and no model. What each call of the model will bring, the model says before it
runs (`Pass`). States stay on the device for a block of steps and are then gathered into one preallocated
CPU array per layer, so that a GPU is not made to wait at each layer and step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from innerear.errors import InputError, did_you_mean
from innerear.models.base import Pass
from innerear.study.architectures import SITES

_BLOCK_STEPS = 64

#: A site and a layer.
Place = tuple[str, int]


def check_layers(layers: Sequence[int] | None, n_layers: int) -> list[int]:
    """Return the layers in order, all of them for None.

    Raises
    ------
    InputError: no layer, a repeated one, or one outside 0 … n_layers − 1.
    """
    if layers is None:
        return list(range(n_layers))
    chosen = sorted(layers)
    if not chosen:
        raise InputError(f"capture.layers is empty; name layers between 0 and {n_layers - 1}, or all")
    for layer in chosen:
        if not 0 <= layer < n_layers:
            raise InputError(
                f"capture.layers: the model has no layer {layer}; its layers are 0 to {n_layers - 1}"
            )
        if chosen.count(layer) > 1:
            raise InputError(
                f"capture.layers: layer {layer} is named {chosen.count(layer)} times; once is enough"
            )
    return chosen


def check_sites(sites: Sequence[str]) -> list[str]:
    """Return the sites in the order of `SITES`; InputError for none, an unknown or a repeated one."""
    if isinstance(sites, str) or not sites:
        raise InputError(f"capture.sites: {sites!r} is no list of sites; use [{', '.join(SITES)}]")
    for site in sites:
        if site not in SITES:
            raise InputError(
                f"capture.sites: unknown site {site!r}{did_you_mean(site, SITES)}; use {', '.join(SITES)}"
            )
        if list(sites).count(site) > 1:
            raise InputError(f"capture.sites: {site!r} is named {list(sites).count(site)} times")
    return [site for site in SITES if site in sites]


def places_of(sites: Sequence[str], layers: Sequence[int]) -> list[Place]:
    """Cross sites with layers; the input is layer 0's only, since every other one is the residual before."""
    return [(site, layer) for site in sites for layer in ([0] if site == "input" else layers)]


class _Heard:
    """The states of one place in one run of the model, gathered in blocks of steps."""

    def __init__(self, place: Place, n_samples: int, n_steps: int, passes: Sequence[Pass]) -> None:
        self.where = f"layer {place[1]}, site {place[0]}"
        self.n_samples, self.n_steps, self.passes = n_samples, n_steps, passes
        self.calls = 0
        #: [S, B, D] on the CPU, by branch; in pinned memory where they come from a GPU, so that copies run
        #: beside the computation
        self.states: dict[str, torch.Tensor] = {}
        self._done: dict[tuple[str, ...], int] = {}  # steps gathered, by the branches of a pass
        self._blocks: dict[tuple[str, ...], list[torch.Tensor]] = {}  # [rows, steps, D] on the device

    def hear(self, output: torch.Tensor) -> None:
        """Append the steps of one call: states [rows, positions, D]."""
        if self.calls == len(self.passes):
            raise InputError(
                f"{self.where} ran more often than the {len(self.passes)} calls of the clip: "
                "the model was run by something else while it was being heard"
            )
        now = self.passes[self.calls]
        n_rows, n_positions, _ = output.shape
        if n_rows != len(now.branches) * self.n_samples:
            raise InputError(
                f"{self.where} ran {n_rows} rows for {self.n_samples} samples in the branches "
                f"{', '.join(now.branches)}: guidance of another kind is not understood"
            )
        if n_positions != now.n_steps and not (now.prefixed and n_positions > now.n_steps):
            raise InputError(
                f"{self.where} read {n_positions} positions in call {self.calls}, not {now.n_steps}: "
                "a prefix or a prompt that was not announced, whose positions are not steps"
            )
        self.calls += 1
        # A copy, since a later layer may work in place; without the prefix, which comes first.
        self._blocks.setdefault(now.branches, []).append(output[:, n_positions - now.n_steps :].clone())
        if len(self._blocks[now.branches]) == _BLOCK_STEPS or self.calls == len(self.passes):
            for branches in list(self._blocks):
                self._gather(branches)

    def _gather(self, branches: tuple[str, ...]) -> None:
        block = torch.cat(self._blocks.pop(branches), dim=1)  # calls × [rows, steps, D] -> [rows, steps, D]
        first = self._done.get(branches, 0)
        self._done[branches] = last = first + block.shape[1]
        for branch, rows in zip(branches, block.split(self.n_samples), strict=True):
            if branch not in self.states:
                shape = (self.n_steps, self.n_samples, block.shape[2])
                self.states[branch] = torch.empty(shape, dtype=block.dtype, pin_memory=block.is_cuda)
            # [B, steps, D] -> [steps, B, D] on the device: what is copied lies in one piece on both sides.
            ordered = rows.transpose(0, 1).contiguous()
            self.states[branch][first:last].copy_(ordered, non_blocking=True)

    def whole(self) -> dict[str, torch.Tensor]:
        """Return the states by branch, once every call has been heard."""
        if self.calls != len(self.passes):
            raise InputError(
                f"{self.where} ran {self.calls} times in a clip of {len(self.passes)} calls: the capture is "
                "incomplete, since the model stopped early or skipped the layer"
            )
        return self.states


class Recording:
    """What `capture` hears: the states of chosen places, per sample.

    Attributes
    ----------
    places : (site, layer) pairs.
    branches : names of the C branches, known after the first run.
    """

    def __init__(self, places: Sequence[Place], n_samples: int, n_steps: int) -> None:
        self.places = list(places)
        self.n_samples, self.n_steps = n_samples, n_steps
        self.branches: tuple[str, ...] = ()
        self._hearing: dict[Place, _Heard] | None = None
        self._states: dict[Place, torch.Tensor] = {}  # [B, C, S, D]

    @contextmanager
    def run(self, samples: Sequence[int], passes: Sequence[Pass]) -> Iterator[None]:
        """Hear one run of the model over some of the samples (an `Observer`).

        A run that fails leaves nothing behind, so that it can be repeated with fewer samples.

        Raises
        ------
        InputError: a place that did not run as the passes say.
        """
        self._hearing = {place: _Heard(place, len(samples), self.n_steps, passes) for place in self.places}
        try:
            yield
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # the last copies
            for place, heard in self._hearing.items():
                self._keep(place, heard.whole(), samples)
        finally:
            self._hearing = None

    def hear(self, place: Place, states: torch.Tensor) -> None:
        """Append one call of one place; outside a run nothing is heard."""
        if self._hearing is not None:
            self._hearing[place].hear(states)

    def _keep(self, place: Place, states: Mapping[str, torch.Tensor], samples: Sequence[int]) -> None:
        if place not in self._states:
            self.branches = tuple(states)
            first = states[self.branches[0]]
            n_steps, _, d_model = first.shape
            shape = (self.n_samples, len(states), n_steps, d_model)
            self._states[place] = torch.empty(shape, dtype=first.dtype)
        for branch, values in enumerate(states.values()):
            self._states[place][list(samples), branch] = values.transpose(0, 1)

    def sample(self, site: str, layer: int, sample: int) -> torch.Tensor:
        """Return the states [C, S, D] of one sample at one place."""
        return self._states[site, layer][sample]

    def all(self, site: str, layer: int) -> torch.Tensor:
        """Return the states [S, C, B, D] of all samples at one place."""
        return self._states[site, layer].permute(2, 1, 0, 3)  # [B, C, S, D] -> [S, C, B, D]


@contextmanager
def capture(
    modules: Mapping[str, Sequence[nn.Module]],
    *,
    n_samples: int,
    n_steps: int,
    layers: Sequence[int] | None = None,
) -> Iterator[Recording]:
    """Hook transformer blocks; the hooks are gone when the context ends, however it ends.

    Parameters
    ----------
    modules : by site the L modules whose outputs are heard, [rows, positions, D] at each call (or a tuple
        that begins with that); of ``"input"`` the first one's input.
    n_samples, n_steps : B and S of the generation to come.
    layers : which layers; None for all.

    Raises
    ------
    InputError: an unknown layer or site, before anything is generated.
    """
    sites = check_sites(list(modules))
    chosen = check_layers(layers, max(len(of_layers) for of_layers in modules.values()))
    recording = Recording(places_of(sites, chosen), n_samples, n_steps)
    handles = []
    try:
        for site, layer in recording.places:
            module = modules[site][layer]
            if site == "input":
                handles.append(module.register_forward_pre_hook(_input_hook(recording, (site, layer))))
            else:
                handles.append(module.register_forward_hook(_output_hook(recording, (site, layer))))
        yield recording
    finally:
        for handle in handles:
            handle.remove()


def _input_hook(recording: Recording, place: Place) -> Callable:
    return lambda module, inputs: recording.hear(place, inputs[0])


def _output_hook(recording: Recording, place: Place) -> Callable:
    def hook(module: nn.Module, inputs: tuple, output: Any) -> None:
        recording.hear(place, output[0] if isinstance(output, tuple) else output)

    return hook

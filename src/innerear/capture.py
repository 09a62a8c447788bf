"""Hear a transformer while it generates: every step, both branches, chosen layers.

The hooks know torch modules and no model. States stay on the device for a block of steps and are then
gathered into one preallocated CPU array per layer, so that a GPU is not made to wait at each layer and step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from innerear.errors import InputError, did_you_mean
from innerear.models import MusicModel, load_model
from innerear.timeline import Timeline

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

#: Axes of what `ActivationExtractor.get_activations` returns.
AXES = ("step", "branch", "sample", "d_model")

_SITES = ("residual",)
_BLOCK_STEPS = 64

SplitBranches = Callable[[int, int], Mapping[str, slice]]


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
    """Return the sites; InputError for none or an unknown one."""
    if isinstance(sites, str) or not sites:
        raise InputError(f"capture.sites: {sites!r} is no list of sites; use [{', '.join(_SITES)}]")
    for site in sites:
        if site not in _SITES:
            raise InputError(
                f"capture.sites: unknown site {site!r}{did_you_mean(site, _SITES)}; use {', '.join(_SITES)}"
            )
    return list(sites)


class _Layer:
    """The states of one layer in one run of the model, gathered in blocks of steps."""

    def __init__(self, layer: int, n_steps: int) -> None:
        self.layer, self.n_steps = layer, n_steps
        self.done = 0  # steps heard
        self._block: list[torch.Tensor] = []  # the last steps, [rows, 1, D] each, on the device
        self.states: torch.Tensor | None = None  # [rows, S, D] on the CPU

    def hear(self, output: torch.Tensor) -> None:
        """Append one step: a block's output [rows, 1, D]."""
        if output.shape[1] != 1:
            raise InputError(
                f"layer {self.layer} read {output.shape[1]} positions in one call after step {self.done}: a "
                "prefix, a continuation or a teacher-forced pass, whose positions are not steps"
            )
        if self.done == self.n_steps:
            raise InputError(
                f"layer {self.layer} ran more often than the {self.n_steps} steps of the clip; guidance in "
                "two passes (two_step_cfg) is not supported"
            )
        # A copy, since a later layer may work in place.
        self._block.append(output.clone())
        self.done += 1
        if len(self._block) == _BLOCK_STEPS or self.done == self.n_steps:
            self._gather()

    def _gather(self) -> None:
        block = torch.cat(self._block, dim=1)  # steps × [rows, 1, D] -> [rows, steps, D]
        if self.states is None:
            n_rows, _, d_model = block.shape
            self.states = torch.empty(n_rows, self.n_steps, d_model, dtype=block.dtype)
        self.states[:, self.done - len(self._block) : self.done] = block
        self._block.clear()


class Recording:
    """What `capture` hears: the states of chosen layers, per sample.

    Attributes
    ----------
    branches : names of the C branches, known after the first run.
    """

    def __init__(
        self, layers: Sequence[int], split_branches: SplitBranches, n_samples: int, n_steps: int
    ) -> None:
        self.layers = list(layers)
        self.n_samples, self.n_steps = n_samples, n_steps
        self.branches: tuple[str, ...] = ()
        self._split = split_branches
        self._hearing: dict[int, _Layer] | None = None
        self._states: dict[int, torch.Tensor] = {}  # layer -> [B, C, S, D]

    @contextmanager
    def run(self, samples: Sequence[int]) -> Iterator[None]:
        """Hear one run of the model over some of the samples (an `Observer`).

        A run that fails leaves nothing behind, so that it can be repeated with fewer samples.

        Raises
        ------
        InputError: a layer that did not run once per step.
        """
        self._hearing = {layer: _Layer(layer, self.n_steps) for layer in self.layers}
        try:
            yield
            for layer, heard in self._hearing.items():
                self._keep(layer, heard, samples)
        finally:
            self._hearing = None

    def hear(self, layer: int, output: Any) -> None:
        """Append one step of one layer; outside a run nothing is heard."""
        if self._hearing is not None:
            self._hearing[layer].hear(output[0] if isinstance(output, tuple) else output)

    def _keep(self, layer: int, heard: _Layer, samples: Sequence[int]) -> None:
        if heard.done != self.n_steps or heard.states is None:
            raise InputError(
                f"layer {layer} ran {heard.done} times in a clip of {self.n_steps} steps: the capture is "
                "incomplete, since the model stopped early or skipped the layer"
            )
        rows = self._split(heard.states.shape[0], len(samples))
        if layer not in self._states:
            self.branches = tuple(rows)
            shape = (self.n_samples, len(rows), *heard.states.shape[1:])
            self._states[layer] = heard.states.new_empty(shape)
        for branch, which in enumerate(rows.values()):
            self._states[layer][list(samples), branch] = heard.states[which]

    def sample(self, layer: int, sample: int) -> torch.Tensor:
        """Return the states [C, S, D] of one sample at one layer."""
        return self._states[layer][sample]

    def all(self, layer: int) -> torch.Tensor:
        """Return the states [S, C, B, D] of all samples at one layer."""
        return self._states[layer].permute(2, 1, 0, 3)  # [B, C, S, D] -> [S, C, B, D]


@contextmanager
def capture(
    blocks: Sequence[nn.Module],
    split_branches: SplitBranches,
    *,
    n_samples: int,
    n_steps: int,
    layers: Sequence[int] | None = None,
    sites: Sequence[str] = _SITES,
) -> Iterator[Recording]:
    """Hook transformer blocks; the hooks are gone when the context ends, however it ends.

    Parameters
    ----------
    blocks : the L transformer blocks, whose outputs are [rows, 1, D] at each step.
    split_branches : (rows, samples) → rows by branch.
    n_samples, n_steps : B and S of the generation to come.
    layers : which blocks; None for all.
    sites : where in a block.

    Raises
    ------
    InputError: an unknown layer or site, before anything is generated.
    """
    chosen = check_layers(layers, len(blocks))
    check_sites(sites)
    recording = Recording(chosen, split_branches, n_samples, n_steps)

    def hook(layer: int) -> Callable:
        return lambda module, inputs, output: recording.hear(layer, output)

    handles = []
    try:
        for layer in chosen:
            handles.append(blocks[layer].register_forward_hook(hook(layer)))
        yield recording
    finally:
        for handle in handles:
            handle.remove()


class ActivationExtractor:
    """Generate music and keep the hidden states of every step.

    A drop-in for the extractor that appends each hook call to a list, but with both guidance branches
    told apart, and without a copy to the CPU at each layer and step.

    Parameters
    ----------
    model : from `innerear.load_model`, or a MusicGen that is already loaded.
    layers : 0-based blocks; None for all.
    sites : where in a block; ``"residual"`` is the block's output.

    Attributes
    ----------
    axes : names of the axes of the activations, ``("step", "branch", "sample", "d_model")``.
    branches : names along the branch axis, of the last generation.
    codes : int64 [B, K, T], the tokens of the last generation.
    timeline : `Timeline` of the last generation.

    Raises
    ------
    InputError: a layer or site that the model does not have; an object that is no model.

    Examples
    --------
    >>> extractor = ActivationExtractor(load_model("nano"), layers=[0, 3, 5])
    >>> wav = extractor.generate(["happy upbeat music"], seeds=[7], duration=3)
    >>> extractor.get_activations()["layer_3"].shape  # [S, C, B, D]
    torch.Size([153, 2, 1, 96])
    """

    axes = AXES

    def __init__(
        self,
        model: "MusicModel | MusicGen",
        layers: Sequence[int] | None = None,
        sites: Sequence[str] = _SITES,
    ) -> None:
        self.model = model if isinstance(model, MusicModel) else load_model(model)
        self.layers = check_layers(layers, self.model.n_layers)
        self.sites = check_sites(sites)
        self.clear_activations()

    def clear_activations(self) -> None:
        """Forget the last generation."""
        self._recording: Recording | None = None
        self.codes: torch.Tensor | None = None
        self.timeline: Timeline | None = None

    def __enter__(self) -> "ActivationExtractor":
        return self

    def __exit__(self, *error) -> None:
        self.clear_activations()

    @property
    def branches(self) -> tuple[str, ...]:
        """Names along the branch axis."""
        return self._recording.branches if self._recording else ()

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int] | None = None,
        duration: float = 5.0,
        **settings: Any,
    ) -> torch.Tensor:
        """Compose one clip per prompt and keep what the layers did.

        Parameters
        ----------
        prompts : B texts.
        seeds : one per prompt; 0 for all if not given.
        duration : seconds.
        settings : of `MusicModel.generate`: guidance, temperature, top_k, top_p, use_sampling, progress.

        Returns
        -------
        Audio, float32 [B, n].
        """
        self.clear_activations()
        timeline = Timeline(self.model.n_frames(duration), self.model.n_codebooks, self.model.frame_rate)
        if seeds is None:
            seeds = [0] * len(prompts)
        with capture(
            self.model.blocks(),
            self.model.split_branches,
            n_samples=len(prompts),
            n_steps=timeline.n_steps,
            layers=self.layers,
            sites=self.sites,
        ) as recording:
            made = self.model.generate(prompts, seeds, duration, observe=recording.run, **settings)
        self._recording, self.codes, self.timeline = recording, made.codes, timeline
        return made.audio

    def get_activations(self, concatenate: bool = True) -> dict[str, Any]:
        """Return the states by layer name, ``"layer_3"``.

        Parameters
        ----------
        concatenate : one tensor [S, C, B, D] per layer, or a list of S tensors [C, B, D].

        Returns
        -------
        Views of the recording. The tensors are plain ones, since torch's named tensors are experimental
        and fail in indexing and einops; their axes are `axes`, also set as the attribute ``axes`` of each.

        Raises
        ------
        InputError: nothing has been generated yet.
        """
        if self._recording is None:
            raise InputError("no activations: call generate(prompts, seeds=…, duration=…) first")
        activations: dict[str, Any] = {}
        for layer in self.layers:
            states = self._recording.all(layer)
            states.axes = AXES  # type: ignore[attr-defined]
            activations[f"layer_{layer}"] = states if concatenate else list(states.unbind(0))
        return activations

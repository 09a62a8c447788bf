"""Generate and replay in a notebook, and keep the hidden states."""

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from innerear.capture.hooks import Recording, capture
from innerear.errors import InputError
from innerear.models import MusicModel, load_model
from innerear.study.architectures import check_sites, resolve_layers
from innerear.timeline import Timeline

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

#: Axes of what `ActivationExtractor.get_activations` returns.
AXES = ("step", "branch", "sample", "d_model")


class ActivationExtractor:
    """Generate music and keep the hidden states of every step.

    A drop-in for an extractor that appends each hook call to a list, with the guidance branches separated and
    without a copy to the CPU at each layer and step.

    Parameters
    ----------
    model : from `innerear.load_model`, or a loaded MusicGen.
    layers : 0-based blocks; None for all.
    sites : of `innerear.study.architectures.SITES`; ``"residual"`` is a block's output.

    Attributes
    ----------
    axes : names of the axes of the activations, ``("step", "branch", "sample", "d_model")``.
    branches : names along the branch axis, of the last generation.
    codes, timeline : tokens int64 [B, K, T] and `Timeline` of the last generation.
    nll : after a replay, the tokens' negative log-likelihood in nats, float32 [B, distribution, K, T].

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
        sites: Sequence[str] = ("residual",),
    ) -> None:
        self.model = model if isinstance(model, MusicModel) else load_model(model)
        self.layers = resolve_layers(layers, self.model.n_layers)
        self.sites = check_sites(sites, self.model.sites)
        self.clear_activations()

    def clear_activations(self) -> None:
        """Forget the last generation."""
        self._recording: Recording | None = None
        self.codes: torch.Tensor | None = None
        self.timeline: Timeline | None = None
        self.nll: torch.Tensor | None = None

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
        *,
        stride: float = 0.6,
        given: torch.Tensor | None = None,
        **settings: Any,
    ) -> torch.Tensor:
        """Compose one clip per prompt and keep the states.

        Parameters
        ----------
        prompts : B texts.
        seeds : one per prompt; by default 0.
        duration : seconds; a clip longer than the model's window is made in several.
        stride : from one window's beginning to the next, as a share of a window.
        given : codes [B, K, frames] to be continued, from `MusicModel.encode`.
        settings : of `MusicModel.generate`: guidance, two_step, temperature, top_k, top_p, use_sampling,
            progress.

        Returns
        -------
        Audio, float32 [B, n].
        """
        self.clear_activations()
        n_given = 0 if given is None else given.shape[-1]
        timeline = self.model.timeline(duration, stride=stride, given=n_given)
        if seeds is None:
            seeds = [0] * len(prompts)
        with self._capture(len(prompts), timeline) as recording:
            made = self.model.generate(
                prompts, seeds, duration, stride=stride, given=given, observe=recording.run, **settings
            )
        self._recording, self.codes, self.timeline = recording, made.codes, timeline
        return made.audio

    def replay(
        self,
        prompts: Sequence[str | None],
        codes: torch.Tensor | None = None,
        timeline: Timeline | None = None,
        guidance: float = 3.0,
    ) -> torch.Tensor:
        """Read clips again, under these prompts, and keep the states; nothing is generated.

        Parameters
        ----------
        prompts : B texts, or one for all; None for no text.
        codes, timeline : codes [B, K, T] of the clips and their timeline; by default those of the last
            generation or replay.
        guidance : of the guided distribution.

        Returns
        -------
        Negative log-likelihood [B, distribution, K, T], also kept as `nll`; see `MusicModel.replay`.

        Raises
        ------
        InputError: nothing to replay; codes that do not fit the prompts.
        """
        codes = self.codes if codes is None else codes
        if codes is None:
            raise InputError("nothing to replay: call generate first, or give codes")
        n_frames, n_codebooks = codes.shape[2], codes.shape[1]
        timeline = timeline or self.timeline or Timeline(n_frames, n_codebooks, self.model.frame_rate)
        texts = [*prompts] * len(codes) if len(prompts) == 1 else [*prompts]
        self.clear_activations()
        with self._capture(len(codes), timeline) as recording:
            nll = self.model.replay(codes, texts, timeline, guidance=guidance, observe=recording.run)
        self._recording, self.codes, self.timeline, self.nll = recording, codes, timeline, nll
        return nll

    @contextmanager
    def _capture(self, n_samples: int, timeline: Timeline):
        modules = {site: self.model.modules(site) for site in self.sites}
        with capture(modules, n_samples=n_samples, n_steps=timeline.n_steps, layers=self.layers) as recording:
            yield recording

    def get_activations(self, concatenate: bool = True) -> dict[str, Any]:
        """Return the states by layer: ``"layer_3"``, or ``"mlp/layer_3"`` for another site than the residual.

        Parameters
        ----------
        concatenate : one tensor [S, C, B, D] per layer, or a list of S tensors [C, B, D].

        Returns
        -------
        Views of the recording: plain tensors, because torch's named tensors fail in indexing and einops. The
        attribute ``axes`` of each names its axes.

        Raises
        ------
        InputError: nothing has been generated yet.
        """
        if self._recording is None:
            raise InputError("no activations: call generate(prompts, seeds=…, duration=…) first")
        activations: dict[str, Any] = {}
        for site, layer in self._recording.places:
            states = self._recording.all(site, layer)
            states.axes = AXES  # type: ignore[attr-defined]
            name = f"layer_{layer}" if site == "residual" else f"{site}/layer_{layer}"
            activations[name] = states if concatenate else list(states.unbind(0))
        return activations

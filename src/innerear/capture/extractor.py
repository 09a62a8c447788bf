"""Generate in a notebook and look inside: the public face of capture and replay."""

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from innerear.capture.hooks import Recording, capture, check_layers, check_sites
from innerear.errors import InputError
from innerear.models import MusicModel, load_model
from innerear.timeline import Timeline

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

#: Axes of what `ActivationExtractor.get_activations` returns.
AXES = ("step", "branch", "sample", "d_model")


class ActivationExtractor:
    """Generate music and keep the hidden states of every step.

    A drop-in for the extractor that appends each hook call to a list, but with the guidance branches
    told apart, and without a copy to the CPU at each layer and step.

    Parameters
    ----------
    model : from `innerear.load_model`, or a MusicGen that is already loaded.
    layers : 0-based blocks; None for all.
    sites : where in a block, of `innerear.study.architectures.SITES`; ``"residual"`` is the block's output.

    Attributes
    ----------
    axes : names of the axes of the activations, ``("step", "branch", "sample", "d_model")``.
    branches : names along the branch axis, of the last generation.
    codes : int64 [B, K, T], the tokens of the last generation.
    timeline : `Timeline` of the last generation.
    nll : float32 [B, distribution, K, T] after a replay: negative log-likelihood of the tokens, in nats.

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
        self.layers = check_layers(layers, self.model.n_layers)
        self.sites = check_sites(sites)
        for site in self.sites:
            self.model.modules(site)
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
        """Compose one clip per prompt and keep what the layers did.

        Parameters
        ----------
        prompts : B texts.
        seeds : one per prompt; 0 for all if not given.
        duration : seconds; beyond the model's window the clip is made in several.
        stride : of the windows, as a share of the model's.
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
        """Read clips once more, under these prompts, and keep what the layers do: nothing is generated.

        Parameters
        ----------
        prompts : B texts, None for no text; one for all is enough.
        codes, timeline : [B, K, T] of the clips, and when they were made; of the last generation or replay
            if not given.
        guidance : with which the likelihood of the guided distribution is computed.

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
        """Return the states by layer, ``"layer_3"``; of other sites than the residual ``"mlp/layer_3"``.

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
        for site, layer in self._recording.places:
            states = self._recording.all(site, layer)
            states.axes = AXES  # type: ignore[attr-defined]
            name = f"layer_{layer}" if site == "residual" else f"{site}/layer_{layer}"
            activations[name] = states if concatenate else list(states.unbind(0))
        return activations

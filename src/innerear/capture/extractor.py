"""Generate and replay in a notebook, and keep the hidden states."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

import torch

from innerear.capture.hooks import Recording, capture
from innerear.errors import InputError
from innerear.models import MusicModel, load_model
from innerear.models.base import Progress
from innerear.models.batching import check_audio, check_codes
from innerear.models.exclusive import exclusive
from innerear.study.architectures import check_sites, resolve_layers
from innerear.study.generation_settings import (
    GenerationSettings,
    check_sample_seeds,
    check_texts,
    integer,
    own_names,
    switch,
)
from innerear.timeline import Timeline

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

#: Axes of what `ActivationExtractor.get_activations` returns.
AXES = ("step", "branch", "sample", "d_model")

_SETTINGS = [field.name for field in fields(GenerationSettings)]


class ActivationExtractor:
    """Generate music and keep the hidden states of every step.

    A drop-in for an extractor that appends each hook call to a list, with the guidance branches separated and
    without a copy to the CPU at each layer and step. It has the generating methods of audiocraft's MusicGen,
    with the same arguments. What they leave open is as `set_generation_params` has set it on the MusicGen.

    Parameters
    ----------
    model : from `innerear.load_model`, or a loaded MusicGen.
    layers : 0-based blocks: numbers, one number, a range such as ``"0-5"``; None or ``"all"`` for all.
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
        layers: Sequence[int] | int | str | None = None,
        sites: Sequence[str] = ("residual",),
    ) -> None:
        self.model = model if isinstance(model, MusicModel) else load_model(model)
        self.layers = resolve_layers(layers, self.model.n_layers, "layers")
        self.sites = check_sites(sites, self.model.sites, "sites")
        self.clear_activations()

    def clear_activations(self) -> None:
        """Forget the last generation; activations that were returned stay valid."""
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

    def set_generation_params(self, **settings: Any) -> None:
        """Set what later calls leave open, on the model itself, as MusicGen's method of this name does.

        Parameters
        ----------
        settings : use_sampling, top_k, top_p, temperature, duration, cfg_coef, two_step_cfg and extend_stride
            (seconds). Those left out take audiocraft's defaults: 30 s, or a window if that is shorter.

        Raises
        ------
        InputError: an unknown name, or a value out of its range.
        """
        longest = self.model.max_duration
        own = own_names(settings, longest, _SETTINGS)
        self.model.settings = GenerationSettings(**{"duration": min(30.0, longest), **own})

    def generate(
        self,
        prompts: Sequence[str | None] | None = None,
        seeds: Sequence[int] | bool | None = None,
        duration: float | bool | None = None,
        *,
        descriptions: Sequence[str | None] | None = None,
        progress: Progress | bool = False,
        return_tokens: bool = False,
        given: torch.Tensor | None = None,
        **settings: Any,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Compose one clip per prompt and keep the states.

        audiocraft's ``generate(descriptions, progress, return_tokens)`` is understood as well: booleans in
        second and third place are progress and return_tokens.

        Parameters
        ----------
        prompts, descriptions : B texts, by either name; None composes without a text. If all are None, one
            branch runs, ``"uncond"``.
        seeds : one per prompt; by default 0, and 1, 2, … for repetitions of a text.
        duration : seconds; a clip longer than the model's window is made in several.
        progress : True prints the steps, or calls what `set_custom_progress_callback` has set; a function is
            called with (steps done, steps in total).
        return_tokens : return the codes too.
        given : codes [B, K, frames] to be continued, from `MusicModel.encode`.
        settings : guidance or cfg_coef, two_step or two_step_cfg, temperature, top_k, top_p, use_sampling;
            stride as a share of a window, or extend_stride in seconds. `GenerationSettings` gives the ranges.

        Returns
        -------
        Audio, float32 [B, n]: mono, without audiocraft's axis of channels. With return_tokens, a pair of it
        and the codes int64 [B, K, T].

        Raises
        ------
        InputError: an argument that is unknown, of another type, or out of its range.
        """
        if isinstance(seeds, bool):
            seeds, progress = None, seeds
        if isinstance(duration, bool):
            duration, return_tokens = None, duration
        if prompts is not None and descriptions is not None:
            raise InputError("prompts and descriptions are both given; they are one argument, give one")
        return_tokens = switch("return_tokens", return_tokens)
        texts = check_texts(descriptions if prompts is None else prompts)
        chosen = check_sample_seeds(_repetitions(texts) if seeds is None else seeds, len(texts))
        if duration is not None:
            settings = {"duration": duration, **settings}
        own = replace(self.model.settings, **own_names(settings, self.model.max_duration, _SETTINGS))
        if given is not None:
            given = check_codes(given, len(texts), self.model.n_codebooks, self.model.card, "given")
        n_given = 0 if given is None else given.shape[-1]
        timeline = self.model.timeline(own.duration, stride=own.stride, given=n_given)
        report = self._reporter(progress)
        self.clear_activations()
        with self._capture(timeline) as recording:
            made = self.model.generate(
                texts, chosen, given=given, observe=recording.run, progress=report, **asdict(own)
            )
        self._recording, self.codes, self.timeline = recording, made.codes, timeline
        return (made.audio, made.codes) if return_tokens else made.audio

    def generate_unconditional(
        self,
        num_samples: int,
        progress: Progress | bool = False,
        return_tokens: bool = False,
        **settings: Any,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Compose clips without a text; see `generate`."""
        texts = [None] * integer("num_samples", num_samples, 1, 10_000)
        return self.generate(texts, progress=progress, return_tokens=return_tokens, **settings)

    def generate_continuation(
        self,
        prompt: torch.Tensor,
        prompt_sample_rate: int,
        descriptions: Sequence[str | None] | None = None,
        progress: Progress | bool = False,
        return_tokens: bool = False,
        **settings: Any,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Continue audio; see `generate`. The duration includes what is given.

        Parameters
        ----------
        prompt : audio [B, channels, n], or [channels, n] of one clip, within ±1.
        prompt_sample_rate : its samples per second.
        descriptions : B texts; by default none.

        Raises
        ------
        InputError: audio that is none, or another number of texts than of clips; and as `generate`.
        """
        two_axes = getattr(prompt, "ndim", 0) == 2
        wave = check_audio(prompt[None] if two_axes else prompt, "prompt")
        rate = integer("prompt_sample_rate", prompt_sample_rate, 1, 1_000_000)
        texts = [None] * len(wave) if descriptions is None else check_texts(descriptions)
        if len(texts) != len(wave):
            raise InputError(f"{len(wave)} clips and {len(texts)} descriptions: give one text for each clip")
        given = self.model.encode(wave, rate)
        return self.generate(texts, progress=progress, return_tokens=return_tokens, given=given, **settings)

    def generate_with_chroma(self, *_: Any, **__: Any) -> None:
        """Refuse a melody's audio."""
        raise InputError(
            "generate_with_chroma: melody audio is not supported; generate composes from texts alone"
        )

    def replay(
        self,
        prompts: Sequence[str | None],
        codes: torch.Tensor | None = None,
        timeline: Timeline | None = None,
        guidance: float | None = None,
    ) -> torch.Tensor:
        """Read clips again, under these prompts, and keep the states; nothing is generated.

        Parameters
        ----------
        prompts : B texts, or one for all; None for no text. Both branches are run.
        codes : codes [B, K, T] of the clips; by default those of the last generation or replay.
        timeline : of the clips; by default that of the last generation, or for other codes the windows in
            which generating them would have been made.
        guidance : of the guided distribution; by default as `generate` has it.

        Returns
        -------
        Negative log-likelihood [B, distribution, K, T], also kept as `nll`; see `MusicModel.replay`.

        Raises
        ------
        InputError: nothing to replay; codes that do not fit the prompts.
        """
        texts = check_texts(prompts, blank=True)
        held = self.model.settings
        if codes is None:
            codes, timeline = self.codes, timeline or self.timeline
        if codes is None:
            raise InputError("nothing to replay: call generate first, or give codes")
        n_samples = None if len(texts) == 1 else len(texts)
        codes = check_codes(codes, n_samples, self.model.n_codebooks, self.model.card, "codes")
        if timeline is None:
            timeline = self.model.timeline(codes.shape[2] / self.model.frame_rate, stride=held.stride)
        elif not isinstance(timeline, Timeline):
            raise InputError(f"timeline: a {type(timeline).__name__} is no innerear.timeline.Timeline")
        guided = held.guidance if guidance is None else GenerationSettings(guidance=guidance).guidance
        texts = texts * len(codes) if n_samples is None else texts
        self.clear_activations()
        with self._capture(timeline) as recording:
            nll = self.model.replay(
                codes, texts, timeline, guidance=1.0 if guided is None else guided, observe=recording.run
            )
        self._recording, self.codes, self.timeline, self.nll = recording, codes, timeline, nll
        return nll

    @contextmanager
    def _capture(self, timeline: Timeline) -> Iterator[Recording]:
        modules = {site: self.model.modules(site) for site in self.sites}
        with (
            exclusive(self.model.network),
            capture(
                modules, n_steps=timeline.n_steps, pre_norm=self.model.pre_norm, layers=self.layers
            ) as recording,
        ):
            yield recording

    def _reporter(self, progress: Any) -> Progress | None:
        """Return the function that `progress` asks for."""
        if not isinstance(progress, bool):
            if not callable(progress):
                raise InputError(f"progress: {progress!r} is not allowed; give True, False or a function")
            report: Any = progress
            return report
        custom = getattr(getattr(self.model, "musicgen", None), "_progress_callback", None)
        return (custom or _print_steps) if progress else None

    def get_activations(self, concatenate: bool = True, raw: bool = False) -> dict[str, Any]:
        """Return the states by layer: ``"layer_3"``, or ``"mlp/layer_3"`` for another site than the residual.

        Parameters
        ----------
        concatenate : one tensor [S, C, B, D] per layer, or a list of S tensors [C, B, D].
        raw : with each state's mean over units, which the model's LayerNorms discard; a copy in float32.

        Returns
        -------
        Views of the recording, which stay valid: plain tensors, because torch's named tensors fail in
        indexing and einops. The attribute ``axes`` of each names its axes, and ``branches`` its C branches.

        Raises
        ------
        InputError: nothing has been generated yet.
        """
        concatenate, raw = switch("concatenate", concatenate), switch("raw", raw)
        if self._recording is None:
            raise InputError("no activations: call generate(prompts, seeds=…, duration=…) first")
        activations: dict[str, Any] = {}
        for site, layer in self._recording.places:
            states = self._recording.all(site, layer, raw=raw)
            states.axes = AXES  # type: ignore[attr-defined]
            states.branches = self.branches  # type: ignore[attr-defined]
            name = f"layer_{layer}" if site == "residual" else f"{site}/layer_{layer}"
            activations[name] = states if concatenate else list(states.unbind(0))
        return activations


def _repetitions(texts: Sequence[str | None]) -> list[int]:
    """Return how often each text occurs before: clips of one text must not be one clip."""
    return [texts[:i].count(text) for i, text in enumerate(texts)]


def _print_steps(done: int, total: int) -> None:
    print(f"{done: 6d} / {total: 6d}", end="\r")

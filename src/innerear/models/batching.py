"""The common part of all MusicModels: checks, batches, windows, and the order of calls."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from math import gcd
from typing import Any

import torch
from torch import nn

from innerear.errors import InputError
from innerear.io.recordings import LOUDEST
from innerear.models.base import DISTRIBUTIONS, CallObserver, Generation, Observer, Pass, Progress
from innerear.models.composing import Reader, compose
from innerear.models.exclusive import exclusive
from innerear.models.sampling import Race
from innerear.study.architectures import Architecture, check_sites
from innerear.study.generation_settings import GenerationSettings, check_sample_seeds, check_texts, integer
from innerear.timeline import Timeline

_MOST_ROWS = 4096
# Weights of the filters that resample audio: a filter as long as a period of one rate for each of the other.
_LARGEST_FILTERS = 10**8


class BatchedModel(ABC):
    """A MusicModel that composes and rereads one batch of texts at a time.

    A subclass sets the attributes below and provides `_calls`, `_reader`, `_decode`, `_autocast`, `_reread`,
    `_text_length`, `identity`, `_encode` and `_site_modules`; the rest of `innerear.models.base.MusicModel`
    is here.
    """

    name: str
    n_layers: int
    d_model: int
    n_codebooks: int
    card: int
    frame_rate: float
    sample_rate: int
    max_duration: float
    device: torch.device
    dtype: torch.dtype
    has_cross_attention: bool
    pre_norm: bool
    sites: tuple[str, ...]
    delays: tuple[int, ...] = ()  #: of the codebooks in steps; by default one step each
    network: nn.Module
    own_decoder: str  #: the name of the backend's own decoder
    _prefixed: bool  #: whether prepended conditions come first
    _settings = GenerationSettings()

    @property
    def observers(self) -> list[CallObserver]:
        """Contexts around every run; see `MusicModel.observers`."""
        return vars(self).setdefault("_observers", [])

    @contextmanager
    def _observed(
        self, observe: Observer | None, samples: Sequence[int], passes: Sequence[Pass], n_texts: int
    ) -> Iterator[None]:
        with ExitStack() as around:
            for one in self.observers:
                around.enter_context(one(samples, passes, n_texts))
            if observe:
                around.enter_context(observe(samples, passes))
            yield

    @property
    def settings(self) -> GenerationSettings:
        """Settings for what a caller leaves open; see `MusicModel.settings`."""
        return self._settings

    @settings.setter
    def settings(self, settings: GenerationSettings) -> None:
        self._settings = settings

    @abstractmethod
    def identity(self) -> str:
        """Return the identity of the weights; see `MusicModel.identity`."""

    @abstractmethod
    def _encode(self, wave: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Return the codes [B, K, T] of audio [B, channels, n]."""

    @abstractmethod
    def _site_modules(self, site: str) -> Sequence[nn.Module]:
        """Return the L modules of a site that the model has."""

    @abstractmethod
    def _calls(self, texts: Sequence[str | None], settings: dict[str, Any]) -> list[Any]:
        """Return the texts that each call of a step reads: one call, or one for each branch."""

    @abstractmethod
    def _reader(self, calls: list[Any], decoder: str, n_positions: int) -> AbstractContextManager[Reader]:
        """Open a reader of one window of so many positions, through one of the model's decoders."""

    @abstractmethod
    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the mono audio [B, n] of codes [B, K, T], on the CPU."""

    @abstractmethod
    def _autocast(self) -> AbstractContextManager:
        """Open the precision in which the language model computes."""

    @abstractmethod
    def _reread(
        self, codes: torch.Tensor, texts: list[str | None], timeline: Timeline, guidance: float
    ) -> torch.Tensor:
        """Replay the samples of one batch; return their part of what `replay` returns."""

    @abstractmethod
    def _text_length(self, text: str) -> tuple[int, ...]:
        """Return what texts must have in common to share a batch: their number of tokens, or nothing."""

    def _static_refusals(self) -> list[str]:
        """Return why the static decoder cannot run this model; nothing if it can."""
        return ["the static decoder is for audiocraft's models"]

    def _chosen_decoder(self, asked: str) -> str:
        """Return the decoder that runs, for what is asked.

        Raises
        ------
        InputError: a decoder that the model does not have.
        """
        own = self.own_decoder
        if asked not in ("auto", "static", own):
            raise InputError(
                f"generation.decoder: {asked!r} is none of {self.name!r}; use auto, static or {own}"
            )
        refused = [] if asked == own else self._static_refusals()
        if asked == "static" and refused:
            raise InputError(
                f"generation.decoder: static does not run {self.name!r}: {'; '.join(refused)}; use auto"
            )
        return own if asked == own or refused else "static"

    def _compose(
        self,
        texts: list[str | None],
        seeds: list[int],
        given: torch.Tensor | None,
        timeline: Timeline,
        settings: dict[str, Any],
        report: Progress,
    ) -> Generation:
        """Compose the samples of one batch; `settings` are those of `generate`."""
        codes = torch.empty(len(texts), self.n_codebooks, 0, dtype=torch.long, device=self.device)
        if given is not None:
            codes = given.to(self.device)
        with torch.no_grad():
            with self._autocast():
                reader = partial(self._reader, self._calls(texts, settings), settings["decoder"])
                codes = compose(reader, Race(seeds), codes, timeline, self.card, settings, report)
            return Generation(codes.cpu(), self._decode(codes))

    def encode(self, audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Return the codes of audio; see `MusicModel.encode`."""
        rate = integer("sample_rate", sample_rate, 1, 1_000_000)
        _check_resampling(rate, self.sample_rate)
        return self._encode(check_audio(audio, "audio"), rate)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return codes as the codec decodes them; see `MusicModel.decode`."""
        codes = check_codes(codes, None, self.n_codebooks, self.card, "codes")
        with exclusive(*self._networks), torch.no_grad():
            return self._decode(codes.to(self.device))

    def modules(self, site: str) -> Sequence[nn.Module]:
        """Return the modules of a site, layer by layer; see `MusicModel.modules`."""
        check_sites([site], self.sites, "capture.sites")
        return self._site_modules(site)

    @property
    def _networks(self) -> Sequence[nn.Module]:
        """All networks that a run uses; the first is `network`."""
        return [self.network]

    @property
    def _architecture(self) -> Architecture:
        return Architecture(
            self.n_layers,
            self.d_model,
            self.n_codebooks,
            self.frame_rate,
            self.sample_rate,
            self.max_duration,
            self.has_cross_attention,
            self.delays,
        )

    def timeline(self, duration: float, *, stride: float = 0.6, given: int = 0) -> Timeline:
        """Return the clip's timeline; see `MusicModel.timeline`. T = ⌊duration · frame rate⌋."""
        checked = GenerationSettings(duration=duration, stride=stride)
        return self._architecture.timeline(checked.duration, checked.stride, given)

    def generate(
        self,
        texts: Sequence[str | None],
        seeds: Sequence[int],
        duration: float,
        *,
        guidance: float | None = 3.0,
        two_step: bool = False,
        stride: float = 0.6,
        given: torch.Tensor | None = None,
        temperature: float = 1.0,
        top_k: int = 250,
        top_p: float = 0.0,
        use_sampling: bool = True,
        rows: int | None = None,
        decoder: str = "auto",
        observe: Observer | None = None,
        progress: Progress | None = None,
    ) -> Generation:
        """Compose one clip per (text, seed); see `MusicModel.generate`."""
        rows = None if rows is None else integer("rows", rows, 1, _MOST_ROWS)
        decoder = self._chosen_decoder(decoder)
        texts = check_texts(texts)
        seeds = check_sample_seeds(seeds, len(texts))
        settings = GenerationSettings(
            duration, guidance, two_step, temperature, top_k, top_p, use_sampling, stride
        )
        if given is not None:
            given = check_codes(given, len(texts), self.n_codebooks, self.card, "given")
        n_given = 0 if given is None else given.shape[-1]
        timeline = self.timeline(settings.duration, stride=settings.stride, given=n_given)
        branches = ("cond",) if settings.guidance is None else ("cond", "uncond")
        if not any(texts):
            # Both branches would read the same.
            branches, settings = ("uncond",), replace(settings, guidance=None)
        if len(branches) == 1:
            settings = replace(settings, two_step=False)
        calls = [(one,) for one in branches] if settings.two_step else [branches]
        passes = self._passes(timeline, calls)
        clips: dict[int, tuple[torch.Tensor, torch.Tensor, int]] = {}

        def run(batch: list[int]) -> None:
            samples = [i for i in batch if i >= 0]

            def report(step: int, steps: int) -> None:  # of the run; `progress` is of the whole call
                if progress:
                    progress(len(clips) * steps + len(samples) * step, len(texts) * steps)

            read = [i if i >= 0 else batch[0] for i in batch]  # what fills the batch up repeats its first
            with self._observed(observe, batch, passes, len(texts)):
                made = self._compose(
                    [texts[i] for i in read],
                    [seeds[i] for i in read],
                    None if given is None else given[read],
                    timeline,
                    asdict(settings) | {"decoder": decoder},
                    report,
                )
            clips.update({i: (made.codes[k], made.audio[k], len(batch)) for k, i in enumerate(samples)})

        self._in_batches(texts, settings.duration, run, rows)
        codes, audio, n_rows = zip(*(clips[i] for i in range(len(texts))), strict=True)
        return Generation(torch.stack(codes), torch.stack(audio), n_rows, decoder)

    def _passes(self, timeline: Timeline, calls: Sequence[tuple[str, ...]]) -> list[Pass]:
        """Return the calls of a generation: at each step one for each group of branches."""
        passes = []
        for window in timeline.windows:
            # The given frames, and the position before them, which holds no token.
            passes += [Pass(window.given + 1, branches, self._prefixed) for branches in calls]
            n_left = timeline.steps_of(window) - window.given - 1
            passes += [Pass(1, branches) for _ in range(n_left) for branches in calls]
        return passes

    def replay(
        self,
        codes: torch.Tensor,
        texts: Sequence[str | None],
        timeline: Timeline,
        *,
        guidance: float = 3.0,
        observe: Observer | None = None,
    ) -> torch.Tensor:
        """Read finished clips once more; see `MusicModel.replay`.

        Raises
        ------
        InputError: codes that do not fit the texts or the timeline; a GPU too small for one sample.
        """
        texts = check_texts(texts, blank=True)
        checked = GenerationSettings(guidance=guidance).guidance
        guidance = 1.0 if checked is None else checked
        codes = check_codes(codes, len(texts), self.n_codebooks, self.card, "codes")
        expected = (len(texts), timeline.n_codebooks, timeline.n_frames)
        if codes.shape != expected:
            raise InputError(f"replay: codes of shape {tuple(codes.shape)} are not {expected} [B, K, T]")
        passes = [
            Pass(timeline.steps_of(window), ("cond", "uncond"), self._prefixed) for window in timeline.windows
        ]
        nll = torch.full((len(texts), len(DISTRIBUTIONS), *expected[1:]), torch.nan)

        def run(rows: list[int]) -> None:
            with self._observed(observe, rows, passes, len(texts)):
                nll[rows] = self._reread(codes[rows], [texts[i] for i in rows], timeline, guidance)

        self._in_batches(texts, timeline.n_frames / self.frame_rate, run)
        return nll

    def _in_batches(
        self,
        texts: Sequence[str | None],
        duration: float,
        run: Callable[[list[int]], None],
        rows: int | None = None,
    ) -> None:
        """Run samples together if their texts can share a batch, in halves if GPU memory runs out.

        Where padding cannot be masked, it would dilute a shorter text's cross-attention. With `rows`, each
        batch has as many; −1 stands for a row that only fills it up, after the samples.
        """
        with exclusive(*self._networks):
            lengths = {text: self._text_length(text or "") for text in dict.fromkeys(texts)}
        batches: dict[tuple[int, ...], list[int]] = {}
        for i, text in enumerate(texts):
            batches.setdefault(lengths[text], []).append(i)
        waiting = [
            part for batch in batches.values() for part in _parts(batch, rows or len(batch), fill=bool(rows))
        ]
        while waiting:
            batch = waiting.pop(0)
            try:
                with exclusive(*self._networks):
                    run(batch)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise InputError(
                        f"one clip of {duration} s of {self.name!r} does not fit the memory of "
                        f"{self.device}; shorten generation.duration, use a smaller model, or set "
                        "model.device: cpu"
                    ) from None
                samples = [i for i in batch if i >= 0]
                waiting[:0] = _parts(samples, (len(batch) + 1) // 2, fill=bool(rows))
                torch.cuda.empty_cache()


def _parts(samples: list[int], size: int, *, fill: bool) -> list[list[int]]:
    """Cut a batch into parts of `size` samples; the last may be shorter, or is filled up with −1."""
    parts = [samples[start : start + size] for start in range(0, len(samples), size)]
    return [part + [-1] * (size - len(part)) for part in parts] if fill else parts


def check_codes(codes: Any, n_samples: int | None, n_codebooks: int, card: int, name: str) -> torch.Tensor:
    """Return codes of any kind of array as an int64 tensor [B, K, T] on the CPU; None allows any B.

    Raises
    ------
    InputError: another shape, or a value that is no token; the message begins with `name`.
    """
    try:
        tokens = torch.as_tensor(codes).detach().cpu().to_dense()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name}: a {type(codes).__name__} is no array of codes [B, K, T]") from None
    if tokens.ndim != 3 or tokens.shape[1] != n_codebooks or n_samples not in (None, len(tokens)):
        raise InputError(
            f"{name}: codes of shape {tuple(tokens.shape)} are not {n_samples or 'some'} samples × "
            f"{n_codebooks} codebooks × frames"
        )
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise InputError(f"{name}: codes are {tokens.dtype}; give integers")
    tokens = tokens.long()
    least, most = (int(tokens.min()), int(tokens.max())) if tokens.numel() else (0, 0)
    if least < 0 or most >= card:
        raise InputError(f"{name}: codes from {least} to {most} are not within the model's 0 to {card - 1}")
    return tokens


def _check_resampling(rate: int, wanted: int) -> None:
    """Refuse rates of so small a common divisor that the resampling filters would take gigabytes."""
    common = gcd(rate, wanted)
    if rate // common * (wanted // common) > _LARGEST_FILTERS:
        raise InputError(
            f"sample_rate: audio of {rate} Hz cannot be resampled to {wanted} Hz in the memory of usual "
            "machines; save it at 32000, 44100 or 48000 Hz"
        )


def check_audio(audio: Any, name: str) -> torch.Tensor:
    """Return audio [B, channels, n], or mono [B, n], of any kind of array as float32 [B, channels, n].

    Raises
    ------
    InputError: another shape, more than two channels, numbers that are no floats, NaN or infinity, values far
        beyond full scale; the message begins with `name`.
    """
    try:
        wave = torch.as_tensor(audio).detach().cpu().to_dense()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name}: a {type(audio).__name__} is no array of audio [B, channels, n]") from None
    if not wave.is_floating_point():
        raise InputError(
            f"{name}: the audio is {wave.dtype}; give floats within ±1 (of 16-bit samples: divided by 32768)"
        )
    wave = wave.float()
    wave = wave[:, None] if wave.ndim == 2 else wave
    if wave.ndim != 3 or not wave.numel() or wave.shape[1] > 2:
        raise InputError(
            f"{name}: audio of shape {tuple(wave.shape)} is not [B, channels, n] with 1 or 2 channels"
        )
    if not wave.isfinite().all():
        raise InputError(f"{name}: the audio holds NaN or infinity")
    peak = float(wave.abs().max())
    if peak > LOUDEST:
        raise InputError(f"{name}: the audio reaches {peak:g}, and full scale is 1; scale it to within ±1")
    return wave


def negative_log_likelihood(logits: torch.Tensor, codes: torch.Tensor, delays: Sequence[int]) -> torch.Tensor:
    """Return the loss [B, K, T] of each token, given the logits [B, K, S, card] of all steps."""
    losses = []
    for k, (own, delay) in enumerate(zip(codes.unbind(1), delays, strict=True)):  # [B, T]
        # Step s predicts codebook k of frame s − d_k.
        aligned = logits[:, k, delay : delay + own.shape[1]]  # [B, T, card]
        loss = nn.functional.cross_entropy(aligned.flatten(0, 1), own.flatten(), reduction="none")
        losses.append(loss.view(own.shape))
    return torch.stack(losses, dim=1)

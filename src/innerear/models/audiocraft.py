"""audiocraft's MusicGen as a MusicModel."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from innerear.errors import InputError
from innerear.models.base import DISTRIBUTIONS
from innerear.models.batching import BatchedModel, negative_log_likelihood
from innerear.models.composing import Reader
from innerear.models.conditioners import text_encoders
from innerear.models.decoder import StaticDecoder
from innerear.models.exclusive import exclusive
from innerear.models.graphs import CudaGraphs
from innerear.models.identity import hash_parameters, identity_text
from innerear.models.refusals import refusals
from innerear.models.texts import Texts, attention_on, can_mask, masked, read_texts
from innerear.study.architectures import REFUSED
from innerear.study.generation_settings import GenerationSettings
from innerear.timeline import Timeline

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

# Clips that the codec decodes at a time. On a CPU more are slower, not faster. On a GPU 32 clips of 30 s
# would take some 30 GB, beside the caches that the decoder keeps.
_DECODED_ON_CPU, _DECODED_ON_GPU = 4, 8


class AudiocraftModel(BatchedModel):
    """A MusicGen that reads its text by cross-attention or prepended to the sequence.

    Parameters
    ----------
    musicgen : the loaded model; generating leaves its own generation parameters as they are.
    name : of the model in results.
    identity : of the weights; a hash of the parameters by default.

    Raises
    ------
    InputError: a MAGNeT, or a model with another codebook pattern, whose steps would be mislabelled.
    """

    own_decoder = "audiocraft"

    def __init__(self, musicgen: "MusicGen", name: str, identity: str | None = None) -> None:
        self.musicgen, self.name = musicgen, name
        self._identity = identity
        lm = musicgen.lm
        self.network: nn.Module = lm
        _refuse_magnet(name, lm)
        self.delays = _delays(name, lm)
        self.n_layers, self.d_model = len(lm.transformer.layers), lm.dim
        self.n_codebooks, self.card = lm.n_q, lm.card
        self.frame_rate = float(musicgen.frame_rate)
        self.sample_rate = int(musicgen.sample_rate)
        self.max_duration = float(musicgen.max_duration)
        # The transformer's: embeddings and the text projection stay in float32.
        parameter = next(lm.transformer.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self._static = StaticDecoder(lm, CudaGraphs() if self.device.type == "cuda" else None)
        self.pre_norm = all(block.norm_first for block in lm.transformer.layers)
        self.has_cross_attention = len(lm.fuser.fuse2cond.get("cross", [])) > 0
        self.sites = self._architecture.sites
        self._prefixed = len(lm.fuser.fuse2cond.get("prepend", [])) > 0
        self._masks_texts = self.has_cross_attention and not self._prefixed and can_mask(lm)

    @property
    def _networks(self) -> list[nn.Module]:
        return [self.network, self.musicgen.compression_model, *text_encoders(self.musicgen.lm)]

    @property
    def settings(self) -> GenerationSettings:
        """The settings made by `set_generation_params` on the MusicGen; see `MusicModel.settings`."""
        given, stride = self.musicgen.generation_params, self.musicgen.extend_stride or 0.0
        guidance, two_step = given.get("cfg_coef"), given.get("two_step_cfg")
        temperature = given.get("temp", 1.0)
        lm = self.musicgen.lm
        return GenerationSettings(
            duration=self.musicgen.duration,
            guidance=lm.cfg_coef if guidance is None else guidance,
            two_step=lm.two_step_cfg if two_step is None else two_step,
            temperature=temperature or 1.0,
            top_k=given.get("top_k", 250),
            top_p=given.get("top_p", 0.0),
            # audiocraft takes a temperature of 0 for no sampling.
            use_sampling=given.get("use_sampling", True) and temperature != 0,
            stride=stride / self.max_duration if 0 < stride < self.max_duration else 0.6,
        )

    @settings.setter
    def settings(self, settings: GenerationSettings) -> None:
        if settings.guidance is None:
            raise InputError("cfg_coef: None cannot be set on a MusicGen; give guidance=None to generate")
        self.musicgen.set_generation_params(
            use_sampling=settings.use_sampling,
            top_k=settings.top_k,
            top_p=settings.top_p,
            temperature=settings.temperature,
            duration=settings.duration,
            cfg_coef=settings.guidance,
            two_step_cfg=settings.two_step,
            extend_stride=settings.stride * self.max_duration,
        )

    def identity(self) -> str:
        """Return the hashes of language model, text encoder and codec.

        They are of the files that the model was loaded from; for a model the user loaded, of its parameters.
        """
        if self._identity is None:
            lm: Any = self.musicgen.lm
            codec = self.musicgen.compression_model
            vocabularies = [
                sorted(conditioner.t5_tokenizer.get_vocab().items())
                for conditioner in lm.condition_provider.conditioners.values()
                if hasattr(conditioner, "t5_tokenizer")
            ]
            self._identity = identity_text(
                hash_parameters([lm]),
                hash_parameters(text_encoders(lm), vocabularies),
                hash_parameters([codec]),
            )
        return self._identity

    def _site_modules(self, site: str) -> Sequence[nn.Module]:
        # What is added to the stream has passed LayerScale, an identity in models without it.
        names = {
            "self_attention": "layer_scale_1",
            "cross_attention": "layer_scale_cross",
            "mlp": "layer_scale_2",
        }
        blocks: Any = list(self.musicgen.lm.transformer.layers)
        return [getattr(block, names[site]) for block in blocks] if site in names else blocks

    def _encode(self, wave: torch.Tensor, sample_rate: int) -> torch.Tensor:
        from audiocraft.data.audio_utils import convert_audio

        codec = self.musicgen.compression_model
        wave = convert_audio(wave, sample_rate, self.sample_rate, codec.channels)
        with exclusive(*self._networks), torch.no_grad():
            codes, _ = codec.encode(wave.to(self.device))
        return codes.cpu()

    def _autocast(self) -> AbstractContextManager:
        return self.musicgen.autocast

    def _calls(self, texts: Sequence[str | None], settings: dict[str, Any]) -> list[Texts]:
        groups = [list(texts)]
        if settings["guidance"] is not None:
            nothing = [None] * len(texts)
            groups = [[*texts], nothing] if settings["two_step"] else [[*texts, *nothing]]
        return [self._texts(group) for group in groups]

    def _texts(self, texts: Sequence[str | None]) -> Texts:
        return read_texts(self.musicgen, texts, half=self.dtype == torch.float16 and self._masks_texts)

    def _static_refusals(self) -> list[str]:
        return refusals(self.musicgen.lm)

    @contextmanager
    def _reader(self, calls: list[Texts], decoder: str, n_positions: int) -> Iterator[Reader]:
        lm = self.musicgen.lm
        if decoder == "static":
            with self._static.reader(calls, n_positions) as static:
                yield static
            return
        past: list[dict[str, Any]] = [{} for _ in calls]

        def read(sequence: torch.Tensor) -> torch.Tensor:
            logits = []
            for i, texts in enumerate(calls):
                if len(calls) > 1:  # each call has a past of its own
                    lm.set_streaming_state(past[i])
                rows = next(iter(texts.conditions.values()))[0].shape[0] // len(sequence)
                with masked(lm, texts.open):
                    logits.append(lm(sequence.repeat(rows, 1, 1), [], texts.conditions)[:, :, -1])
                past[i] = lm.get_streaming_state() if len(calls) > 1 else {}
            return torch.cat(logits) if len(logits) > 1 else logits[0]

        with lm.streaming(), attention_on(self.device):
            yield read

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        parts = codes.split(_DECODED_ON_CPU if self.device.type == "cpu" else _DECODED_ON_GPU)
        audio = torch.cat([self.musicgen.generate_audio(one) for one in parts])  # [B, channels, n]
        return audio.mean(dim=1).float().cpu()

    def _reread(
        self, codes: torch.Tensor, texts: list[str | None], timeline: Timeline, guidance: float
    ) -> torch.Tensor:
        """Replay the samples of one batch; return their part of what `replay` returns."""
        lm = self.musicgen.lm
        nll = torch.full((len(codes), len(DISTRIBUTIONS), *codes.shape[1:]), torch.nan)
        with torch.no_grad():
            read = self._texts([*texts, *[None] * len(texts)])
            for start, n_frames, given in timeline.windows:
                own = codes[..., start : start + n_frames].contiguous().to(self.device)  # [B, K, frames]
                pattern = lm.pattern_provider.get_pattern(n_frames)
                sequence, _, _ = pattern.build_pattern_sequence(own, lm.special_token_id)
                # The last position is predicted, never read.
                with self.musicgen.autocast, attention_on(self.device), masked(lm, read.open):
                    logits = lm(sequence[..., :-1].repeat(2, 1, 1), [], read.conditions)  # [2B, K, S, card]
                cond, uncond = logits.float().chunk(2)
                for row, of in enumerate((cond, uncond, uncond + guidance * (cond - uncond))):
                    losses = negative_log_likelihood(of, own, timeline.delays)
                    nll[:, row, :, start + given : start + n_frames] = losses[..., given:].cpu()
        return nll

    def _text_length(self, text: str) -> tuple[int, ...]:
        if self._masks_texts:
            return ()
        provider: Any = self.musicgen.lm.condition_provider
        lengths = []
        for name in provider.text_conditions:
            tokens = provider.conditioners[name].tokenize([text])
            mask = tokens["attention_mask"] if isinstance(tokens, Mapping) else tokens[1]
            lengths.append(int(mask.sum()))
        return tuple(lengths)


def _refuse_magnet(name: str, lm: Any) -> None:
    from audiocraft.models.lm_magnet import MagnetLMModel

    if isinstance(lm, MagnetLMModel):
        raise InputError(f"model {name!r} is MAGNeT, which cannot be recorded: {REFUSED['MAGNeT']}")


def _delays(name: str, lm: Any) -> tuple[int, ...]:
    """Return the delay of each codebook in the language model's pattern."""
    pattern = lm.pattern_provider
    delays = getattr(pattern, "delays", None)
    plain = not getattr(pattern, "flatten_first", 0) and not getattr(pattern, "empty_initial", 0)
    if delays is None or len(delays) != lm.n_q or not plain:
        raise InputError(
            f"model {name!r} interleaves its codebooks by {type(pattern).__name__}, in which a step does not "
            "predict each codebook a fixed number of frames later; only delays are supported"
        )
    return tuple(map(int, delays))

"""MusicGen and MusicGen-Melody of the transformers library as MusicModels.

The same weights as audiocraft's through other code: a backend of its own, and a witness of what audiocraft
records.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

from innerear.errors import InputError
from innerear.models.audiocraft import AudiocraftModel
from innerear.models.base import DISTRIBUTIONS, MusicModel
from innerear.models.batching import BatchedModel, negative_log_likelihood
from innerear.models.composing import Reader, positions_of
from innerear.models.conversion import Parts, converted
from innerear.timeline import Timeline


class TransformersModel(BatchedModel):
    """A MusicGen of the transformers library.

    Parameters
    ----------
    parts : the loaded modules, all on one device.
    name : of the model in results.
    identity : of the weights.
    dtype : of the transformer's blocks; with float16, embeddings and heads stay in float32, as in audiocraft.
    """

    own_decoder = "transformers"

    def __init__(self, parts: Parts, name: str, identity: str, dtype: torch.dtype = torch.float32) -> None:
        self.parts, self.name, self.dtype, self._identity = parts, name, dtype, identity
        config = parts.decoder.config
        self.network: nn.Module = parts.decoder
        self._decoder: Any = parts.decoder.model.decoder
        self._decoder.layers.to(dtype)
        self.device = next(self.network.parameters()).device
        # The library computes the angles by another formula, which is up to 1e-4 away at position 1500.
        self._decoder.embed_positions.weights = positions(
            config.max_position_embeddings, config.hidden_size, self.device
        )
        self.n_layers, self.d_model = config.num_hidden_layers, config.hidden_size
        self.n_codebooks, self.card, self.delays = config.num_codebooks, config.vocab_size, parts.delays
        self.frame_rate, self.sample_rate = parts.frame_rate, parts.sample_rate
        self.max_duration = parts.max_duration
        self.has_cross_attention = hasattr(self._decoder.layers[0], "encoder_attn")
        self.pre_norm = True  # as every MusicGen of this library
        self.sites = self._architecture.sites
        self._prefixed = not self.has_cross_attention

    @property
    def _networks(self) -> Sequence[nn.Module]:
        return [one for one in (self.network, self.parts.text_encoder, self.parts.codec) if one is not None]

    def identity(self) -> str:
        """Return the identity of the weights: ``sha256:…`` or ``revision:…``."""
        return self._identity

    def _site_modules(self, site: str) -> Sequence[nn.Module]:
        names = {"self_attention": "self_attn", "cross_attention": "encoder_attn", "mlp": "fc2"}
        blocks: Any = list(self._decoder.layers)
        return [getattr(block, names[site]) for block in blocks] if site in names else blocks

    def _encode(self, wave: torch.Tensor, sample_rate: int) -> torch.Tensor:
        from julius import resample

        codec = self._codec()
        wave = resample.resample_frac(wave.to(self.device), int(sample_rate), self.sample_rate)
        n_channels = 2 if self.parts.stereo else codec.config.audio_channels
        if wave.shape[1] != n_channels:
            wave = wave.mean(dim=1, keepdim=True).expand(-1, n_channels, -1)
        channels = wave.split(codec.config.audio_channels, dim=1)
        bandwidth = codec.config.target_bandwidths[-1]
        with torch.no_grad():
            codes = [codec.encode(one, bandwidth=bandwidth).audio_codes[0] for one in channels]
        return torch.stack(codes, dim=2).flatten(1, 2).cpu()  # the channels' codebooks take turns

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return mono audio [B, n] of codes [B, K, T]."""
        codec = self._codec()
        channels = (codes[:, ::2], codes[:, 1::2]) if self.parts.stereo else (codes,)
        with torch.no_grad():
            audio = torch.cat([codec.decode(one[None], [None]).audio_values for one in channels], dim=1)
        return audio.mean(dim=1).float().cpu()

    def _codec(self) -> Any:
        if self.parts.codec is None:
            raise InputError(
                f"the codec of model {self.name!r} has no counterpart in the transformers library; "
                "use model.backend: audiocraft"
            )
        return self.parts.codec

    @contextmanager
    def _reader(self, calls: list[torch.Tensor], decoder: str, n_positions: int) -> Iterator[Reader]:
        readers = [_Reader(self.network, rows) for rows in calls]
        yield lambda sequence: torch.cat([reader(sequence) for reader in readers])

    def _reread(
        self, codes: torch.Tensor, texts: list[str | None], timeline: Timeline, guidance: float
    ) -> torch.Tensor:
        nll = torch.full((len(codes), len(DISTRIBUTIONS), *codes.shape[1:]), torch.nan)
        with torch.no_grad(), self._autocast():
            cond = self._conditions(texts)
            conditions = torch.cat([cond, self._no_conditions(len(texts), self._n_tokens(cond))])
            for window in timeline.windows:
                start, n_frames, given = window
                own = codes[..., start : start + n_frames].to(self.device)  # [B, K, frames]
                # The last position is predicted, never read.
                sequence = positions_of(own, window, timeline, self.card)[..., :-1].repeat(2, 1, 1)
                cond, uncond = _logits(self.network, sequence, conditions)[0].float().chunk(2)
                for row, of in enumerate((cond, uncond, uncond + guidance * (cond - uncond))):
                    losses = negative_log_likelihood(of, own, timeline.delays)
                    nll[:, row, :, start + given : start + n_frames] = losses[..., given:].cpu()
        return nll

    def _autocast(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def _conditions(self, texts: Sequence[str | None]) -> torch.Tensor:
        """Return what is prepended or attended to [B, tokens, D], zeros for no text."""
        tokens = self.parts.tokenizer([text or "" for text in texts], return_tensors="pt", padding=True)
        present = torch.tensor([bool(text) for text in texts])[:, None]
        mask = (tokens["attention_mask"] * present).to(self.device)
        with torch.autocast(self.device.type, enabled=False):
            states = self.parts.text_encoder(tokens["input_ids"].to(self.device), mask).last_hidden_state
        return self._after_melody(self.parts.text_projection(states) * mask[..., None])

    def _no_conditions(self, n_samples: int, n_tokens: int) -> torch.Tensor:
        return self._after_melody(torch.zeros(n_samples, n_tokens, self.d_model, device=self.device))

    def _after_melody(self, states: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.parts.melody.expand(len(states), -1, -1).to(states), states], dim=1)

    def _calls(self, texts: Sequence[str | None], settings: dict[str, Any]) -> list[torch.Tensor]:
        """Return the conditions of each call of a step, cond first: [B or 2B, tokens, D]."""
        self._codec()  # refuses before a long generation, not after it
        cond = self._conditions(texts)
        if settings["guidance"] is None:
            return [cond]
        if settings["two_step"]:  # audiocraft then reads an empty text of one token
            return [cond, self._no_conditions(len(texts), 1)]
        return [torch.cat([cond, self._no_conditions(len(texts), self._n_tokens(cond))])]

    def _n_tokens(self, conditions: torch.Tensor) -> int:
        return conditions.shape[1] - len(self.parts.melody)

    def _text_length(self, text: str) -> tuple[int, ...]:
        return (len(self.parts.tokenizer(text)["input_ids"]) if text else 0,)


class _Reader:
    """The network with its past keys and values: reads a sequence from left to right, in pieces."""

    def __init__(self, network: nn.Module, conditions: torch.Tensor) -> None:
        self._network, self._conditions, self._past = network, conditions, None
        self._prefixed = "Melody" in type(network).__name__

    def __call__(self, sequence: torch.Tensor) -> torch.Tensor:
        """Return the logits [rows, K, card] after the last position of `sequence` [B, K, positions].

        Rows of the conditions beyond B read the same sequence.
        """
        rows = sequence.repeat(len(self._conditions) // len(sequence), 1, 1)
        # A prefix is read once, before the first positions.
        conditions = None if self._prefixed and self._past is not None else self._conditions
        logits, self._past = _logits(self._network, rows, conditions, self._past, use_cache=True)
        return logits[:, :, -1]


def _logits(
    network: nn.Module,
    sequence: torch.Tensor,
    conditions: torch.Tensor | None,
    past: Any = None,
    use_cache: bool = False,
) -> tuple[torch.Tensor, Any]:
    """Return the logits [rows, K, positions, card] of a sequence [rows, K, positions], and the new past."""
    rows, n_codebooks, n_positions = sequence.shape
    out = network(
        sequence.reshape(rows * n_codebooks, n_positions),
        encoder_hidden_states=conditions,
        past_key_values=past,
        use_cache=use_cache,
    )
    logits = out.logits.unflatten(0, (rows, n_codebooks))
    return logits[:, :, -n_positions:], out.past_key_values


def positions(n_positions: int, d_model: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return the sinusoidal embeddings of positions: float32 [positions, D], cosines first.

    Angles are computed as audiocraft computes them, because float32 rounds other expressions of the same
    formula otherwise.
    """
    unit = torch.arange(d_model // 2, device=device, dtype=torch.float32)
    period = torch.full([], 10_000.0, device=device) ** (unit / (d_model // 2 - 1))
    angle = torch.arange(n_positions, device=device, dtype=torch.float32)[:, None] / period
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def witness_of(model: MusicModel) -> MusicModel:
    """Return a second implementation with the same weights, in float32 and on the same device.

    Of audiocraft's models it is the transformers library's, and of converted ones audiocraft's. They share
    nothing but the text encoder, which is that library's in both, the sampling noise, and the memory of
    weights in float32.

    Raises
    ------
    InputError: a model with parts that the library lacks, or in a layout that audiocraft does not read.

    Examples
    --------
    >>> from innerear.models import load_model
    >>> nano = load_model("nano", device="cpu")
    >>> witness = witness_of(nano)
    >>> made, again = (one.generate(["a happy song"], [7], 0.5) for one in (nano, witness))
    >>> bool((made.codes == again.codes).all())
    True
    """
    if isinstance(model, AudiocraftModel):
        return TransformersModel(converted(model.musicgen, model.name), model.name, model.identity())
    if isinstance(model, TransformersModel) and model.parts.origin is not None:
        return AudiocraftModel(model.parts.origin, model.name, model.identity())
    raise InputError(
        f"model {model.name!r} has no second implementation: audiocraft does not read its layout; set "
        "model.witness: false"
    )

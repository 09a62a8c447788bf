"""Train a dictionary: TopK and BatchTopK autoencoders (Gao et al. 2024; Bussmann et al. 2024)."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn.functional import embedding, embedding_bag

from innerear.errors import InputError
from innerear.features.dictionary import Dictionary, unit_rows
from innerear.study.features import ENOUGH, FEWEST

log = logging.getLogger(__name__)

KINDS = ("topk", "batchtopk")
# A latent is silent if it did not fire while an average one fired so often; the auxiliary loss lets silent
# ones explain the error.
_SILENT_FIRINGS = 100
_SILENT_WEIGHT, _SILENT_LATENTS = 1 / 32, 32
# Share of the largest scale below which tokens do not vary.
_NOTHING = 1e-6


class Source(Protocol):
    """Tokens to train on, more than memory may hold."""

    n_tokens: int
    mean: torch.Tensor  #: float32 [D]
    scale: float  #: root mean square of the centred tokens' values

    def batches(self, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Give random batches [size, D] without end."""
        ...


class InMemory:
    """Tokens [n, D] that lie in memory, on the CPU or a GPU.

    Raises
    ------
    InputError: a value that is not finite, or tokens that do not vary.
    """

    def __init__(self, tokens: np.ndarray | torch.Tensor, device: torch.device | str = "cpu") -> None:
        self.tokens = torch.as_tensor(tokens, dtype=torch.float32).to(device)
        self.n_tokens = len(self.tokens)
        if not torch.isfinite(self.tokens).all():
            raise InputError("the tokens hold NaN or infinity; the layer cannot be written as features")
        self.mean = self.tokens.mean(dim=0)
        self.scale = scale_of((self.tokens - self.mean).square().mean().item(), self.mean)

    def batches(self, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Give random batches [size, D]: each token once, in a new order each time."""
        left = torch.empty(0, dtype=torch.long)
        while True:
            while len(left) < size:
                left = torch.cat([left, torch.randperm(self.n_tokens, generator=generator)])
            now, left = left[:size], left[size:]
            yield self.tokens.index_select(0, now.to(self.tokens.device))


def scale_of(variance: float, mean: torch.Tensor) -> float:
    """Return the scale of tokens with this variance a unit; refuse tokens that do not vary."""
    scale = math.sqrt(variance)
    if scale <= _NOTHING * float(mean.abs().max()) or scale == 0:
        raise InputError("the tokens do not vary: a constant layer has no features")
    return scale


def require_tokens(n_tokens: int, n_latents: int, k: int) -> None:
    """Refuse a dictionary that is too large for its tokens; warn where it is large.

    Raises
    ------
    InputError: k of at least F, or fewer than `FEWEST` tokens a latent.
    """
    if not 1 <= k < n_latents:
        raise InputError(f"features.k: {k} of {n_latents} latents are not few; give 1 … {n_latents - 1}")
    ratio = n_tokens / n_latents
    if ratio < FEWEST:
        raise InputError(
            f"features.n_latents: {n_latents} latents want at least {FEWEST * n_latents} tokens "
            f"({FEWEST} each), and there are {n_tokens}; ask for at most {max(n_tokens // FEWEST, 1)} "
            "latents, or train on more clips"
        )
    if ratio < ENOUGH:
        log.warning(
            "%d tokens for %d latents are %.0f each, fewer than %d: other seeds will find other features; "
            "%d tokens would do",
            *(n_tokens, n_latents, ratio, ENOUGH, ENOUGH * n_latents),
        )


@dataclass
class _Weights:
    """What is learned, in centred and scaled units."""

    encoder: torch.Tensor  # [F, D]
    encoder_bias: torch.Tensor  # [F]
    decoder: torch.Tensor  # [F, D]
    bias: torch.Tensor  # [D]

    @classmethod
    def drawn(cls, d_model: int, n_latents: int, generator: torch.Generator, device: torch.device):
        """Draw a decoder of random directions; the encoder is the same."""
        decoder = unit_rows(torch.randn(n_latents, d_model, generator=generator)).to(device)
        zeros = [torch.zeros(n, device=device) for n in (n_latents, d_model)]
        return cls(decoder.clone(), zeros[0], decoder, zeros[1])

    def all(self) -> list[torch.Tensor]:
        return [self.encoder, self.encoder_bias, self.decoder, self.bias]


def train(
    tokens: np.ndarray | torch.Tensor | Source,
    n_latents: int,
    k: int,
    *,
    kind: str = "topk",
    steps: int = 600,
    batch: int = 512,
    lr: float = 8e-3,
    seed: int = 0,
    freeze_decoder: bool = False,
) -> Dictionary:
    """Train a dictionary of tokens; the same seed gives the same bits on one machine.

    Parameters
    ----------
    tokens : states [n, D], or a `Source` of them; a GPU's stay there.
    n_latents, k : F, and how many of them a token has: each the k largest (``topk``), or k on average over
        a batch (``batchtopk``).
    steps, batch, lr : of Adam; the rate rises over the first 5 % of steps and falls over the last half.
    freeze_decoder : leave the decoder's random directions (a control).

    Raises
    ------
    InputError: as `require_tokens`; an unknown kind; tokens that are constant or not finite.
    """
    if kind not in KINDS:
        raise InputError(f"features.kind: {kind!r} is not allowed; use {' or '.join(KINDS)}")
    if isinstance(tokens, np.ndarray):
        tokens = torch.from_numpy(tokens)
    source = InMemory(tokens, tokens.device) if isinstance(tokens, torch.Tensor) else tokens
    require_tokens(source.n_tokens, n_latents, k)
    device, generator = source.mean.device, torch.Generator().manual_seed(seed)
    weights = _Weights.drawn(len(source.mean), n_latents, generator, device)
    for one in weights.all():
        one.requires_grad_(not (freeze_decoder and one is weights.decoder))
    learned = [one for one in weights.all() if one.requires_grad]
    optimiser = torch.optim.Adam(learned, lr=lr, betas=(0.9, 0.999), fused=True)
    silent_for, threshold = torch.zeros(n_latents, device=device), 0.0
    batches = source.batches(batch, generator)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * _rate(step, steps)
        x = (next(batches) - source.mean) / source.scale
        loss, fired, least = _loss(x, weights, k, kind, silent_for)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        with torch.no_grad():
            _keep_tangent(weights.decoder)
            optimiser.step()
            if not freeze_decoder:
                weights.decoder.copy_(unit_rows(weights.decoder))
            silent_for = torch.where(fired, 0, silent_for + len(x))
            threshold = least if not step else 0.99 * threshold + 0.01 * least
    return _unscaled(weights, source, k, threshold if kind == "batchtopk" else None)


def _rate(step: int, steps: int) -> float:
    """Return the learning rate at a step as a share of its largest."""
    rise, fall = max(1.0, 0.05 * steps), 0.5 * steps
    return min((step + 1) / rise, 1.0, (steps - step) / fall)


def _loss(
    x: torch.Tensor, weights: _Weights, k: int, kind: str, silent_for: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return the loss of a batch [n, D], which latents [F] fired, and the least value that was kept."""
    constant = weights.encoder_bias - weights.encoder @ weights.bias  # [F]
    with torch.no_grad():
        latents = torch.addmm(constant, x, weights.encoder.T)
        rows, n = (latents, k) if kind == "topk" else (latents.view(1, -1), k * len(x))
        least = _nth_largest(rows, n)
        chosen = (rows >= least).view_as(latents)
        of_token, which = chosen.nonzero(as_tuple=True)
        starts = torch.searchsorted(of_token, torch.arange(len(x), device=x.device))
    # Only what is kept has a gradient: k of F latents are computed again, with one.
    values = (x.index_select(0, of_token) * embedding(which, weights.encoder)).sum(dim=1)
    values = (values + embedding(which, constant[:, None])[:, 0]).relu()
    written = embedding_bag(which, weights.decoder, starts, mode="sum", per_sample_weights=values)
    error = x - written - weights.bias
    loss = error.square().sum(dim=1).mean()
    silent = (silent_for > _SILENT_FIRINGS * len(silent_for) / k).nonzero()[:, 0]
    if len(silent):
        dormant = x @ embedding(silent, weights.encoder).T + constant[silent]
        first = _nth_largest(dormant.detach(), min(_SILENT_LATENTS, len(silent)))
        used = torch.where(dormant >= first, dormant.relu(), 0) @ embedding(silent, weights.decoder)
        loss = loss + _SILENT_WEIGHT * (error.detach() - used).square().sum(dim=1).mean()
    fired = torch.zeros_like(constant, dtype=torch.bool).index_fill_(0, which[values > 0], True)
    return loss, fired, max(0.0, float(least.min())) if kind == "batchtopk" else 0.0


def _nth_largest(values: torch.Tensor, n: int) -> torch.Tensor:
    """Return the n-th largest value of each row, [rows, 1]."""
    if values.is_cuda:
        return values.topk(n, dim=1).values[:, -1:]
    # On a CPU ten times as fast as topk.
    place = values.shape[1] - n
    return torch.from_numpy(np.partition(values.numpy(), place, axis=1)[:, place, None])


def _keep_tangent(decoder: torch.Tensor) -> None:
    """Remove from the decoder's gradient what would only change the length of its directions."""
    if decoder.grad is not None:
        along = (decoder.grad * decoder).sum(dim=1, keepdim=True)
        decoder.grad.sub_(along * decoder)


def _unscaled(weights: _Weights, source: Source, k: int, threshold: float | None) -> Dictionary:
    """Return the dictionary of tokens as they are: latents in the tokens' units."""
    scale = source.scale
    encoder, encoder_bias, decoder, bias = (one.detach().clone() for one in weights.all())
    bounds = None if threshold is None else torch.full_like(encoder_bias, scale * threshold)
    # As many as a token may have: of the stored ones, the largest.
    most = k if bounds is None else min(4 * k, len(decoder) - 1)
    return Dictionary(
        encoder.T.contiguous(), scale * encoder_bias, decoder, scale * bias + source.mean, most, bounds
    )

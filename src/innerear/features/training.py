"""Train a dictionary: TopK and BatchTopK autoencoders (Gao et al. 2024; Bussmann et al. 2024)."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from innerear.errors import InputError
from innerear.features.dictionary import Dictionary, unit_rows
from innerear.study.features import ENOUGH, FEWEST, fewer_latents

log = logging.getLogger(__name__)

KINDS = ("topk", "batchtopk")
# A latent is silent if it did not fire while an average one fired so often; the auxiliary loss lets silent
# ones explain the error.
_SILENT_FIRINGS = 100
_SILENT_WEIGHT, _SILENT_LATENTS = 1 / 32, 32
# Share of the largest scale below which tokens do not vary.
_NOTHING = 1e-6
# How slowly Adam forgets gradients, and their squares.
_BETAS = (0.9, 0.999)


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
            f"({FEWEST} each), and there are {n_tokens}; {fewer_latents(n_tokens, k)}train on more clips"
        )
    if ratio < ENOUGH:
        log.warning(
            "%d tokens for %d latents are %.0f each, fewer than %d: other seeds will find other features; "
            "%d tokens would do",
            *(n_tokens, n_latents, ratio, ENOUGH, ENOUGH * n_latents),
        )


@dataclass
class _Weights:
    """The learned parameters, in centred and scaled units."""

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
        """Return all arrays, in the order of the fields."""
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
    optimiser = _Adam(weights.all())
    silent_for, threshold = torch.zeros(n_latents, device=device), 0.0
    batches = source.batches(batch, generator)
    for step in range(steps):
        x = (next(batches) - source.mean) / source.scale
        silent = silent_for > _SILENT_FIRINGS * n_latents / k
        gradients, fired, least = _loss_gradients(x, weights, k, kind, silent)
        if freeze_decoder:
            gradients[2].zero_()
        optimiser.step(gradients, lr * _rate(step, steps))
        if not freeze_decoder:
            weights.decoder.copy_(unit_rows(weights.decoder))
        silent_for = torch.where(fired, 0, silent_for + len(x))
        threshold = least if not step else 0.99 * threshold + 0.01 * least
    return _unscaled(weights, source, k, threshold if kind == "batchtopk" else None)


class _Adam:
    """Adam (Kingma & Ba 2015); importing PyTorch's takes as long as a third of a dictionary's training."""

    def __init__(self, weights: list[torch.Tensor]) -> None:
        self._weights, self._steps = weights, 0
        self._moments = [(torch.zeros_like(one), torch.zeros_like(one)) for one in weights]

    def step(self, gradients: list[torch.Tensor], lr: float) -> None:
        """Move the weights against their gradients."""
        self._steps += 1
        of_mean, of_square = (1 - beta**self._steps for beta in _BETAS)
        every = zip(self._weights, gradients, self._moments, strict=True)
        for one, gradient, (mean, square) in every:
            mean.lerp_(gradient, 1 - _BETAS[0])
            square.lerp_(gradient.square(), 1 - _BETAS[1])
            one.addcdiv_(mean, (square / of_square).sqrt_().add_(1e-8), value=-lr / of_mean)


def _rate(step: int, steps: int) -> float:
    """Return the learning rate at a step as a share of its largest."""
    rise, fall = max(1.0, 0.05 * steps), 0.5 * steps
    return min((step + 1) / rise, 1.0, (steps - step) / fall)


def _loss_gradients(
    x: torch.Tensor, weights: _Weights, k: int, kind: str, silent: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor, float]:
    """Return the gradients of the loss of a batch [n, D], given which latents [F] are silent.

    The loss is the mean squared length of the error, and of what silent latents leave of it. Its gradients
    are written out: of n · F latents only n · k have one, and automatic differentiation takes twice as long.

    Returns
    -------
    The gradients in the order of the weights, which latents [F] fired, and the least value that was kept of
    a ``batchtopk`` batch.
    """
    x = x - weights.bias
    latents = torch.addmm(weights.encoder_bias, x, weights.encoder.T)
    rows, n = (latents, k) if kind == "topk" else (latents.view(1, -1), k * len(x))
    least = _nth_largest(rows, n)
    kept = _kept((rows >= least).view_as(latents), latents)
    error = _times(kept, weights.decoder, len(x)) - x
    gradients = _gradients(kept, x, error, weights)
    gradients[-1] += (2 / len(x)) * error.sum(dim=0)
    asleep = silent.nonzero()[:, 0]
    if len(asleep):
        dormant = latents.index_select(1, asleep)
        first = _nth_largest(dormant, min(_SILENT_LATENTS, len(asleep)))
        helping = _kept(dormant >= first, dormant)
        helping = helping._replace(column=asleep[helping.column])
        left = _times(helping, weights.decoder, len(x)) + error
        for one, more in zip(gradients, _gradients(helping, x, left, weights), strict=True):
            one += _SILENT_WEIGHT * more
    # What would only change the length of the decoder's directions goes.
    along = (gradients[2] * weights.decoder).sum(dim=1, keepdim=True)
    gradients[2] -= along * weights.decoder
    fired = torch.zeros_like(silent).index_fill_(0, kept.column[kept.value > 0], True)
    return gradients, fired, max(0.0, float(least.min())) if kind == "batchtopk" else 0.0


class _Sparse(NamedTuple):
    """The entries of a sparse matrix, sorted by row."""

    row: torch.Tensor
    column: torch.Tensor
    value: torch.Tensor


def _kept(chosen: torch.Tensor, latents: torch.Tensor) -> _Sparse:
    """Return the chosen latents of a batch [n, F], none of them below 0."""
    row, column = chosen.nonzero(as_tuple=True)
    return _Sparse(row, column, latents[row, column].relu())


def _times(sparse: _Sparse, dense: torch.Tensor, n_rows: int) -> torch.Tensor:
    """Return a sparse matrix [n_rows, m] times a dense one [m, D]."""
    starts = torch.searchsorted(sparse.row, torch.arange(n_rows, device=dense.device))
    return embedding_bag(sparse.column, dense, starts, mode="sum", per_sample_weights=sparse.value)


def _gradients(kept: _Sparse, x: torch.Tensor, error: torch.Tensor, weights: _Weights) -> list[torch.Tensor]:
    """Return the gradients of ‖error‖² ÷ n by way of the latents that were kept, in the order of the weights.

    Parameters
    ----------
    x, error : [n, D] what the encoder read, and what was written less what should have been.
    """
    error = (2 / len(x)) * error
    value = kept.value.clone().requires_grad_()
    written = _times(kept._replace(value=value), weights.decoder, len(x))
    # error · decoderᵀ where latents were kept; by index it would take copies of both.
    of_value = torch.autograd.grad(written, value, error)[0]
    of_value *= kept.value > 0
    order = kept.column.argsort(stable=True)
    transposed = _Sparse(kept.column[order], kept.row[order], kept.value[order])
    back, n_latents = transposed._replace(value=of_value[order]), len(weights.decoder)
    of_bias = _times(back, torch.ones_like(x[:, :1]), n_latents)[:, 0]  # [F]
    of_encoder, of_decoder = _times(back, x, n_latents), _times(transposed, error, n_latents)
    return [of_encoder, of_bias, of_decoder, -of_bias @ weights.encoder]


def _nth_largest(values: torch.Tensor, n: int) -> torch.Tensor:
    """Return the n-th largest value of each row, [rows, 1]."""
    if values.is_cuda or 64 * n <= values.shape[1]:  # of few, topk sorts no more than these
        return values.topk(n, dim=1).values[:, -1:]
    # On a CPU up to five times as fast as topk.
    place = values.shape[1] - n
    return torch.from_numpy(np.partition(values.numpy(), place, axis=1)[:, place, None])


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

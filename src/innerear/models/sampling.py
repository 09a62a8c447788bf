"""Sampling noise for each sample, which makes its tokens the same in any batch.

A token is drawn by the exponential race: with E ~ Exp(1) for each candidate, argmax p / E follows p (the
Gumbel-max trick without its logarithm). Each sample's uniforms come from a CPU generator seeded by its seed;
they are the same on every device and in every batch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch

from innerear.models.patching import replaced


class Race:
    """Draw tokens for the B samples of one run, each with a seed of its own."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def draw(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Draw one candidate of each row [B, K, card], ≥ 0, not necessarily normalised: int64 [B, K, 1]."""
        shape = probabilities.shape[1:]
        uniform = torch.stack([torch.rand(shape, generator=own) for own in self._generators])
        # −log u lies in (0, ∞]: u < 1, and a candidate with u = 0 cannot win.
        exponential = uniform.log_().neg_().to(probabilities.device, non_blocking=True)
        return (probabilities / exponential).argmax(dim=-1, keepdim=True)

    def top_k(self, probabilities: torch.Tensor, k: int) -> torch.Tensor:
        """Draw among the k likeliest candidates and those that tie with the last of them."""
        k = min(k, probabilities.shape[-1])
        least = probabilities.topk(k, dim=-1).values[..., -1:]
        return self.draw(torch.where(probabilities >= least, probabilities, 0.0))

    def top_p(self, probabilities: torch.Tensor, p: float) -> torch.Tensor:
        """Draw among the likeliest candidates whose predecessors sum to at most p."""
        ordered, index = probabilities.sort(dim=-1, descending=True)
        before = ordered.cumsum(dim=-1) - ordered
        rank = self.draw(torch.where(before <= p, ordered, 0.0))
        return index.gather(-1, rank)


@contextmanager
def own_noise(seeds: Sequence[int]) -> Iterator[None]:
    """Make audiocraft's language model sample from each sample's own noise."""
    from audiocraft.models import lm

    race = Race(seeds)

    def multinomial(input: torch.Tensor, num_samples: int, **_: Any) -> torch.Tensor:
        return race.draw(input)

    functions = SimpleNamespace(sample_top_k=race.top_k, sample_top_p=race.top_p, multinomial=multinomial)
    with replaced(lm, utils=functions):
        yield

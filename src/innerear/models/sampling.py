"""Sampling noise for each sample, which makes its tokens the same in any batch.

A token is drawn by the exponential race: with E ~ Exp(1) for each candidate, argmax p / E follows p (the
Gumbel-max trick without its logarithm). Each sample's uniforms come from a CPU generator seeded by its seed;
they are the same on every device and in every batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

# Draws for which noise is made, and copied to a GPU, at a time.
_AHEAD = 16


class Race:
    """Draw tokens for the B samples of one run, each with a seed of its own."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        self._ahead: list[torch.Tensor] = []  # exponentials [B, K, card] of draws to come

    def next_token(self, logits: torch.Tensor, settings: Mapping[str, Any]) -> torch.Tensor:
        """Return the next token of each row [B, K, card] by a generation's settings: int64 [B, K, 1]."""
        if not settings["use_sampling"]:
            return logits.argmax(dim=-1, keepdim=True)
        probabilities = torch.softmax(logits.float() / settings["temperature"], dim=-1)
        if settings["top_p"] > 0:
            return self.top_p(probabilities, settings["top_p"])
        if settings["top_k"] > 0:
            return self.top_k(probabilities, settings["top_k"])
        return self.draw(probabilities)

    def draw(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Draw one candidate of each row [B, K, card], ≥ 0, not necessarily normalised: int64 [B, K, 1]."""
        shape = probabilities.shape[1:]
        if not self._ahead or self._ahead[-1].shape[1:] != shape:
            # In one call a generator gives what it gives in many.
            uniform = torch.stack(
                [torch.rand(_AHEAD, *shape, generator=own) for own in self._generators], dim=1
            )
            # −log u lies in (0, ∞]: u < 1, and a candidate with u = 0 cannot win.
            ahead = uniform.log_().neg_()
            if probabilities.is_cuda:
                ahead = ahead.pin_memory()  # which is copied while the GPU computes
            self._ahead = list(ahead.to(probabilities.device, non_blocking=True).unbind())[::-1]
        return (probabilities / self._ahead.pop()).argmax(dim=-1, keepdim=True)

    def top_k(self, probabilities: torch.Tensor, k: int) -> torch.Tensor:
        """Draw among the k likeliest candidates and those that tie with the last of them."""
        k = min(k, probabilities.shape[-1])
        least = probabilities.topk(k, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)
        return self.draw(torch.where(probabilities >= least, probabilities, 0.0))

    def top_p(self, probabilities: torch.Tensor, p: float) -> torch.Tensor:
        """Draw among the likeliest candidates: those with predecessors that sum to at most p."""
        ordered, index = probabilities.sort(dim=-1, descending=True)
        before = ordered.cumsum(dim=-1) - ordered
        rank = self.draw(torch.where(before <= p, ordered, 0.0))
        return index.gather(-1, rank)

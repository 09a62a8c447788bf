"""Sampling noise for each sample, which makes its tokens the same in any batch.

A token is drawn by the exponential race: with E ~ Exp(1) for each candidate, argmax p / E follows p (the
Gumbel-max trick without its logarithm). Each sample's uniforms come from a CPU generator seeded by its seed;
they are the same on every device and in every batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch


class Race:
    """Draw tokens for the B samples of one run, each with a seed of its own."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

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


class NextToken:
    """What audiocraft's language model calls at each step of one run instead of `_sample_next_token`.

    The model decides neither how the branches are run nor where noise comes from; nothing outside the model
    is replaced.

    Parameters
    ----------
    lm : audiocraft's language model.
    race : the samples' noise.
    settings : guidance, two_step, temperature, top_k, top_p, use_sampling of `MusicModel.generate`.
    """

    def __init__(self, lm: Any, race: Race, settings: Mapping[str, Any]) -> None:
        self.lm, self.race, self.settings = lm, race, settings

    def __call__(
        self, sequence: torch.Tensor, conditions: Any, unconditional_state: Any, *_: Any, **__: Any
    ) -> torch.Tensor:
        """Return the next tokens [B, K, 1] of a sequence [B, K, positions]."""
        logits = self._logits(sequence, conditions, unconditional_state)[:, :, -1]  # [B, K, card]
        return self.race.next_token(logits, self.settings)

    def _logits(self, sequence: torch.Tensor, conditions: Any, unconditional_state: Any) -> torch.Tensor:
        """Return the logits [B, K, positions, card] that tokens are drawn from."""
        guidance = self.settings["guidance"]
        if isinstance(conditions, tuple):
            cond, uncond = self._two_calls(sequence, conditions, unconditional_state)
        elif guidance is None:
            n = len(sequence)
            first = {name: (value[:n], mask[:n]) for name, (value, mask) in conditions.items()}
            return self.lm(sequence, [], first)
        else:
            cond, uncond = self.lm(sequence.repeat(2, 1, 1), [], conditions).chunk(2)
        return uncond + (cond - uncond) * guidance

    def _two_calls(
        self, sequence: torch.Tensor, conditions: tuple, unconditional_state: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the branches one after the other, each with its own past."""
        cond = self.lm(sequence, [], conditions[0])
        past = self.lm.get_streaming_state()
        self.lm.set_streaming_state(unconditional_state)
        uncond = self.lm(sequence, [], conditions[1])
        unconditional_state.update(self.lm.get_streaming_state())
        self.lm.set_streaming_state(past)
        return cond, uncond


@contextmanager
def own_noise(lm: Any, seeds: Sequence[int], settings: Mapping[str, Any]) -> Iterator[None]:
    """Make this language model sample from each sample's own noise; others are left alone."""
    lm.__dict__["_sample_next_token"] = NextToken(lm, Race(seeds), settings)
    try:
        yield
    finally:
        del lm.__dict__["_sample_next_token"]

"""Compose the tokens of one batch, window by window and position by position, whatever reads them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from innerear.models.base import Progress
from innerear.models.sampling import Race
from innerear.timeline import Timeline, Window

#: Reads the next positions of a window [B, K, n], from left to right in pieces, and returns the logits after
#: the last one: [B or 2B, K, card], cond before uncond.
Reader = Callable[[torch.Tensor], torch.Tensor]

#: Opens a reader of one window with so many positions.
OpenReader = Callable[[int], AbstractContextManager[Reader]]


def compose(
    open_reader: OpenReader,
    race: Race,
    codes: torch.Tensor,
    timeline: Timeline,
    card: int,
    settings: Mapping[str, Any],
    report: Progress,
) -> torch.Tensor:
    """Return the codes [B, K, T] of a batch.

    Parameters
    ----------
    race : the samples' noise.
    codes : [B, K, frames] that are given; their device is the model's.
    card : number of tokens; as a token it stands for none.
    settings : guidance, temperature, top_k, top_p, use_sampling of `MusicModel.generate`.
    report : called with steps done and in total.
    """
    done, total = 0, sum(timeline.steps_of(one) - one.given for one in timeline.windows)
    for window in timeline.windows:
        sequence = positions_of(codes[..., window.start :], window, timeline, card)
        read, n_steps = 0, timeline.steps_of(window)
        with open_reader(n_steps) as reader:
            for position in range(window.given + 1, n_steps + 1):
                logits = guided(reader(sequence[..., read:position]), settings["guidance"])
                tokens = race.next_token(logits, settings)
                _write(sequence, position, tokens, window, timeline.delays)
                read, done = position, done + 1
                report(done, total)
        del reader  # its caches, before the next window's need the memory
        new = _frames(sequence, window.n_frames, timeline.delays)[..., window.given :]
        codes = torch.cat([codes, new], dim=-1)
    return codes


def guided(logits: torch.Tensor, guidance: float | None) -> torch.Tensor:
    """Return the logits that tokens are drawn from, of both branches' or, without guidance, of one's."""
    if guidance is None:
        return logits
    cond, uncond = logits.chunk(2)
    return uncond + (cond - uncond) * guidance


def positions_of(codes: torch.Tensor, window: Window, timeline: Timeline, card: int) -> torch.Tensor:
    """Return the positions of one window [B, K, S + 1], with the frames in `codes` [B, K, frames]."""
    shape = (*codes.shape[:2], timeline.steps_of(window) + 1)
    sequence = torch.full(shape, card, dtype=torch.long, device=codes.device)
    for codebook, delay in enumerate(timeline.delays):
        sequence[:, codebook, 1 + delay : 1 + delay + codes.shape[-1]] = codes[:, codebook]
    return sequence


def _write(
    sequence: torch.Tensor, position: int, tokens: torch.Tensor, window: Window, delays: Sequence[int]
) -> None:
    """Write tokens [B, K, 1] at a position, where they are frames that were not given."""
    new = [window.given <= position - 1 - delay < window.n_frames for delay in delays]
    if all(new):
        sequence[..., position] = tokens[..., 0]
        return
    for codebook, is_new in enumerate(new):
        if is_new:
            sequence[:, codebook, position] = tokens[:, codebook, 0]


def _frames(sequence: torch.Tensor, n_frames: int, delays: Sequence[int]) -> torch.Tensor:
    """Return the codes [B, K, frames] of the positions [B, K, S + 1]."""
    codes = [sequence[:, k, 1 + delay : 1 + delay + n_frames] for k, delay in enumerate(delays)]
    return torch.stack(codes, dim=1)

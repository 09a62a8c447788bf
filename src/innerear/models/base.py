"""What the rest of Inner Ear may ask of a music model."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

#: Called after each step with (steps done, steps in all), over all runs of one call.
Progress = Callable[[int, int], None]

#: Entered around each run of the model with the positions, in the call's `texts`, of its samples.
Observer = Callable[[Sequence[int]], AbstractContextManager]


@dataclass(frozen=True)
class Generation:
    """What a model composed.

    Attributes
    ----------
    codes : int64 [B, K, T] on the CPU.
    audio : float32 [B, n] on the CPU, mono, nominally within ±1.
    """

    codes: torch.Tensor
    audio: torch.Tensor


@runtime_checkable
class MusicModel(Protocol):
    """A text-to-music transformer that writes codec tokens in a delay pattern."""

    name: str
    n_layers: int
    d_model: int
    n_codebooks: int
    #: tokens of each codebook
    card: int
    #: codec frames per second
    frame_rate: float
    #: audio samples per second
    sample_rate: int
    #: seconds that fit one window
    max_duration: float
    device: torch.device
    dtype: torch.dtype
    has_cross_attention: bool

    def identity(self) -> str:
        """Return what pins the weights: ``sha256:…`` of files or parameters, or a hub revision."""
        ...

    def blocks(self) -> Sequence[nn.Module]:
        """Return the transformer blocks, first to last; each one's output is the residual stream."""
        ...

    def n_frames(self, duration: float) -> int:
        """Return T, the codec frames of a clip of so many seconds; InputError if it cannot be made."""
        ...

    def split_branches(self, n_rows: int, n_samples: int) -> Mapping[str, slice]:
        """Return which rows of a block's output belong to which branch.

        Raises
        ------
        InputError: a number of rows that the model's guidance does not explain.
        """
        ...

    def generate(
        self,
        texts: Sequence[str],
        seeds: Sequence[int],
        duration: float,
        *,
        guidance: float = 3.0,
        temperature: float = 1.0,
        top_k: int = 250,
        top_p: float = 0.0,
        use_sampling: bool = True,
        observe: Observer | None = None,
        progress: Progress | None = None,
    ) -> Generation:
        """Compose one clip per (text, seed).

        The tokens of a (text, seed) pair do not depend on what else is in the call: sampling noise
        comes from the sample's own generator, and only texts of one token length share a run.
        """
        ...

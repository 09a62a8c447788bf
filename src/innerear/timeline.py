"""Step ↔ codebook frame ↔ second, for models that write their codebooks in a delay pattern.

Forward step s (from 0) predicts codebook k of frame s − k, so a clip of T frames and K codebooks
takes S = T + K − 1 steps, of which the first and last K − 1 are partly padding.
"""

from dataclasses import dataclass

import numpy as np

from innerear.errors import InputError


@dataclass(frozen=True)
class Timeline:
    """When each step of one generation happened, and what it predicted.

    Parameters
    ----------
    n_frames : T ≥ 1, codec frames of the clip.
    n_codebooks : K ≥ 1, codebooks of the codec.
    frame_rate : codec frames per second, > 0.

    Raises
    ------
    InputError: a value out of its range.

    Examples
    --------
    >>> clip = Timeline(n_frames=2, n_codebooks=3, frame_rate=50.0)
    >>> clip.n_steps
    4
    >>> clip.frames.tolist()
    [[0, -1, -1], [1, 0, -1], [-1, 1, 0], [-1, -1, 1]]
    """

    n_frames: int
    n_codebooks: int
    frame_rate: float

    def __post_init__(self) -> None:
        if self.n_frames < 1:
            raise InputError(f"a clip of {self.n_frames} frames has no steps; ask for a longer duration")
        if self.n_codebooks < 1 or self.frame_rate <= 0:
            raise InputError(
                f"{self.n_codebooks} codebooks at {self.frame_rate} frames per second is no codec; "
                "both must be positive"
            )

    @property
    def n_steps(self) -> int:
        """S = T + K − 1, the number of forward steps."""
        return self.n_frames + self.n_codebooks - 1

    @property
    def frames(self) -> np.ndarray:
        """The frame of each codebook that a step predicts: int32 [S, K], −1 where it is padding."""
        frame = np.arange(self.n_steps)[:, None] - np.arange(self.n_codebooks)[None, :]  # [S, K]
        inside = (frame >= 0) & (frame < self.n_frames)
        return np.where(inside, frame, -1).astype(np.int32)

    @property
    def seconds(self) -> np.ndarray:
        """When the frame begins whose first codebook a step predicts: float32 [S], in seconds.

        It runs on past the end of the clip for the last K − 1 steps, which predict no first codebook.
        """
        return (np.arange(self.n_steps) / self.frame_rate).astype(np.float32)

    @property
    def complete(self) -> np.ndarray:
        """Whether a step predicts all K codebooks, K − 1 ≤ s ≤ T − 1: bool [S]."""
        step = np.arange(self.n_steps)
        return (step >= self.n_codebooks - 1) & (step <= self.n_frames - 1)

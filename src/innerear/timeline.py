"""Step ↔ codebook frame ↔ second, for models that write their codebooks in a delay pattern.

Within a window, forward step s (from 0) reads sequence position s and predicts codebook k of the window's
frame s − k, so T frames and K codebooks take S = T + K − 1 steps, of which the first and last K − 1 are
partly padding. A clip that is longer than the model's context is made in several windows, each of which
reads the end of the one before again; a continued clip begins with frames that were given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np

from innerear.errors import InputError


class Window(NamedTuple):
    """Frames that the model has before it at once: the first of the clip's, how many, how many given.

    The `given` frames are read in one long call together with the position that predicts the next one.
    """

    start: int
    n_frames: int
    given: int = 0


@dataclass(frozen=True)
class Timeline:
    """When each step of one generation happened, and what it predicted.

    Parameters
    ----------
    n_frames : T ≥ 1, codec frames of the clip.
    n_codebooks : K ≥ 1, codebooks of the codec.
    frame_rate : codec frames per second, > 0.
    windows : in order; one of all frames if not given. Each begins within the one before and takes over
        as given what that one wrote.

    Raises
    ------
    InputError: a value out of its range, or windows that leave a gap or write a frame twice.

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
    windows: tuple[Window, ...] = ()

    def __post_init__(self) -> None:
        if self.n_frames < 1:
            raise InputError(f"a clip of {self.n_frames} frames has no steps; ask for a longer duration")
        if self.n_codebooks < 1 or self.frame_rate <= 0:
            raise InputError(
                f"{self.n_codebooks} codebooks at {self.frame_rate} frames per second is no codec; "
                "both must be positive"
            )
        if not self.windows:
            object.__setattr__(self, "windows", (Window(0, self.n_frames),))
        written = self.windows[0].given
        for window in self.windows:
            if window.start + window.given != written or window.given >= window.n_frames or window.start < 0:
                raise InputError(f"{window} does not go on at frame {written}, where the one before ends")
            written = window.start + window.n_frames
        if written != self.n_frames:
            raise InputError(f"the windows end at frame {written} of a clip of {self.n_frames}")

    @property
    def n_steps(self) -> int:
        """S = T + K − 1, the number of forward steps, summed over the windows."""
        return sum(self.steps_of(window) for window in self.windows)

    def steps_of(self, window: Window) -> int:
        """Return the steps of one window, those over its given frames included."""
        return window.n_frames + self.n_codebooks - 1

    @property
    def window(self) -> np.ndarray:
        """The number of the window that each step belongs to: int32 [S]."""
        return np.repeat(np.arange(len(self.windows)), [self.steps_of(one) for one in self.windows]).astype(
            np.int32
        )

    @property
    def position(self) -> np.ndarray:
        """The sequence position that each step reads within its window: int32 [S]."""
        return np.concatenate([np.arange(self.steps_of(one)) for one in self.windows]).astype(np.int32)

    @property
    def _in_window(self) -> np.ndarray:
        """The frame of its window that each step predicts of each codebook: [S, K], also outside of it."""
        return self.position[:, None] - np.arange(self.n_codebooks)[None, :]

    def _of_steps(self, values: Sequence[int]) -> np.ndarray:
        return np.array(values)[self.window][:, None]  # [S, 1]

    @property
    def frames(self) -> np.ndarray:
        """The clip's frame of each codebook that a step predicts: int32 [S, K], −1 where it is padding."""
        frame = self._in_window
        inside = (frame >= 0) & (frame < self._of_steps([one.n_frames for one in self.windows]))
        return np.where(inside, frame + self._of_steps([one.start for one in self.windows]), -1).astype(
            np.int32
        )

    @property
    def reread(self) -> np.ndarray:
        """Whether the token that a step predicts was given, so that the prediction was not used: bool [S, K].

        Every frame of every codebook that was not given at the start of the clip is predicted exactly once
        by a step that did not re-read it.
        """
        frame = self._in_window
        return (frame >= 0) & (frame < self._of_steps([one.given for one in self.windows]))

    @property
    def seconds(self) -> np.ndarray:
        """When the frame begins whose first codebook a step predicts: float32 [S], in seconds.

        It runs on past the end of its window for the last K − 1 steps, which predict no first codebook.
        """
        start = self._of_steps([one.start for one in self.windows])[:, 0]
        return ((start + self.position) / self.frame_rate).astype(np.float32)

    @property
    def complete(self) -> np.ndarray:
        """Whether a step writes all K codebooks: no padding, and nothing re-read. bool [S]."""
        return np.all((self.frames >= 0) & ~self.reread, axis=1)

    @property
    def analysed(self) -> np.ndarray:
        """Numbers of the steps that analyses look at, in order of time: int [steps].

        The complete ones, and the padded ones at the very start and end of the clip, which plots show as
        such. Where windows meet, steps that write only some of their codebooks are left out, like those that
        re-read: what they wrote lies next to complete steps of the same second.
        """
        complete = np.flatnonzero(self.complete)
        writes = ((self.frames >= 0) & ~self.reread).any(axis=1)
        if not len(complete):
            return np.flatnonzero(writes)
        step = np.arange(self.n_steps)
        return np.flatnonzero(self.complete | (writes & ((step < complete[0]) | (step > complete[-1]))))


def windows_of(n_frames: int, context: int, stride: int, given: int = 0) -> tuple[Window, ...]:
    """Cut a clip into windows, as MusicGen does beyond its longest clip.

    Parameters
    ----------
    n_frames : T of the clip.
    context : frames that the model can have before it at once.
    stride : frames by which the next window begins later; context − stride are read again.
    given : frames of the clip that are there already.

    Raises
    ------
    InputError: a stride outside 1 … context − 1, or as much given as the clip or the model holds.
    """
    if given >= min(n_frames, context):
        raise InputError(
            f"{given} frames are given, of a clip of {n_frames} and a context of {context}: "
            "nothing is left to compose; give less audio or ask for a longer clip"
        )
    if n_frames > context and not 0 < stride < context:
        raise InputError(f"a stride of {stride} frames must lie between 1 and {context - 1}")
    windows = [Window(0, min(n_frames, context), given)]
    while windows[-1].start + windows[-1].n_frames < n_frames:
        start, written = windows[-1].start + stride, windows[-1].start + windows[-1].n_frames
        windows.append(Window(start, min(n_frames - start, context), written - start))
    return tuple(windows)


def chunk_steps(n_steps: int, most: int = 64) -> int:
    """Return how many steps a chunk of a stack holds: equal shares, as HDF5 stores the last chunk in full."""
    return ceil(n_steps / ceil(n_steps / most))

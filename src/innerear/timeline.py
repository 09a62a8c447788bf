"""Steps, codebook frames and seconds of models that write their codebooks in a delay pattern.

Codebook k is delayed by d_k steps: within a window, forward step s (from 0) reads sequence position s and
predicts codebook k of the window's frame s − d_k. T frames take S = T + max d steps, of which the first and
last max d are partly padding. Most models have d_k = k, and so S = T + K − 1; a stereo model writes both
channels of a codebook in one step, with the delays 0, 0, 1, 1, 2, 2, 3, 3. A clip longer than the model's
context is made in several windows, each of which rereads the end of the one before. A continued clip begins
with given frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np

from innerear.errors import InputError

_CHUNK_STEPS = 64  # at most, of a stack


class Window(NamedTuple):
    """A window's first frame in the clip, its number of frames, and how many of these are given.

    The given frames are read in one long call with the position that predicts the next one.
    """

    start: int
    n_frames: int
    given: int = 0


@dataclass(frozen=True)
class Timeline:
    """The steps of one generation: the frames that each step predicts, and their times.

    Parameters
    ----------
    n_frames : T ≥ 1, codec frames of the clip.
    n_codebooks : K ≥ 1, codebooks of the codec.
    frame_rate : codec frames per second, > 0.
    windows : in order; by default one of all frames. Each begins within the one before, whose frames are
        given to it.
    delays : K steps by which the codebooks are delayed, 0 first and in ascending order; by default
        0, 1, …, K − 1.

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
    >>> stereo = Timeline(n_frames=2, n_codebooks=4, frame_rate=50.0, delays=(0, 0, 1, 1))
    >>> stereo.frames.tolist()
    [[0, 0, -1, -1], [1, 1, 0, 0], [-1, -1, 1, 1]]
    """

    n_frames: int
    n_codebooks: int
    frame_rate: float
    windows: tuple[Window, ...] = ()
    delays: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.n_frames < 1:
            raise InputError(f"a clip of {self.n_frames} frames has no steps; ask for a longer duration")
        if self.n_codebooks < 1 or self.frame_rate <= 0:
            raise InputError(
                f"{self.n_codebooks} codebooks at {self.frame_rate} frames per second is no codec; "
                "both must be positive"
            )
        object.__setattr__(self, "delays", delays_of(self.n_codebooks, self.delays))
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
        """S = T + max d, the number of forward steps, summed over the windows."""
        return sum(self.steps_of(window) for window in self.windows)

    def steps_of(self, window: Window) -> int:
        """Return the steps of one window, including those over its given frames."""
        return window.n_frames + self.max_delay

    @property
    def max_delay(self) -> int:
        """The largest delay, of the last codebook, in steps."""
        return self.delays[-1]

    @property
    def window(self) -> np.ndarray:
        """The number of each step's window: int32 [S]."""
        numbers = np.arange(len(self.windows), dtype=np.int32)
        return np.repeat(numbers, [self.steps_of(one) for one in self.windows])

    @property
    def position(self) -> np.ndarray:
        """The sequence position that each step reads within its window: int32 [S]."""
        return np.concatenate([np.arange(self.steps_of(one)) for one in self.windows]).astype(np.int32)

    @property
    def _in_window(self) -> np.ndarray:
        """The frame of its window that each step predicts of each codebook, unclipped: [S, K]."""
        return self.position[:, None] - np.array(self.delays)[None, :]

    def _of_steps(self, values: Sequence[int]) -> np.ndarray:
        return np.array(values)[self.window][:, None]  # [S, 1]

    @property
    def frames(self) -> np.ndarray:
        """The clip's frame of each codebook that a step predicts: int32 [S, K], −1 for padding."""
        frame = self._in_window
        inside = (frame >= 0) & (frame < self._of_steps([one.n_frames for one in self.windows]))
        start = self._of_steps([one.start for one in self.windows])
        return np.where(inside, frame + start, -1).astype(np.int32)

    @property
    def reread(self) -> np.ndarray:
        """Whether the predicted token was already given, and the prediction is not used: bool [S, K].

        Every token that was not given at the start of the clip is predicted by exactly one step that does not
        reread it.
        """
        frame = self._in_window
        return (frame >= 0) & (frame < self._of_steps([one.given for one in self.windows]))

    @property
    def seconds(self) -> np.ndarray:
        """The beginning of the frame of the undelayed codebook that a step predicts: float32 [S], in seconds.

        The last max d steps of a window predict no such codebook; their seconds run past its end.
        """
        start = self._of_steps([one.start for one in self.windows])[:, 0]
        return ((start + self.position) / self.frame_rate).astype(np.float32)

    @property
    def complete(self) -> np.ndarray:
        """Whether a step writes all K codebooks, without padding or rereading: bool [S]."""
        return np.all((self.frames >= 0) & ~self.reread, axis=1)

    def labels(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """Return all labels of the steps, as a stack stores them: name → (axes, values)."""
        return {
            "window": (("step",), self.window),
            "position": (("step",), self.position),
            "frame": (("step", "codebook"), self.frames),
            "reread": (("step", "codebook"), self.reread),
            "seconds": (("step",), self.seconds),
            "complete": (("step",), self.complete),
        }

    @property
    def analysed(self) -> np.ndarray:
        """Indices of the steps that are analysed, in order of time: int [steps].

        These are the complete steps, and the padded ones at the start and end of the clip, which plots mark.
        Steps between windows that reread, or write only some codebooks, are left out: complete steps of the
        same second lie next to them.
        """
        complete = np.flatnonzero(self.complete)
        writes = ((self.frames >= 0) & ~self.reread).any(axis=1)
        if not len(complete):
            return np.flatnonzero(writes)
        step = np.arange(self.n_steps)
        return np.flatnonzero(self.complete | (writes & ((step < complete[0]) | (step > complete[-1]))))


def delays_of(n_codebooks: int, delays: Sequence[int] = ()) -> tuple[int, ...]:
    """Return the delay of each codebook in steps; by default each is one step later than the one before.

    Raises
    ------
    InputError: another number of delays than codebooks, or delays that are not in ascending order from 0.
    """
    chosen = tuple(int(delay) for delay in delays) or tuple(range(n_codebooks))
    if len(chosen) != n_codebooks or list(chosen) != sorted(chosen) or chosen[0] != 0:
        raise InputError(
            f"the delays {list(delays)} do not fit {n_codebooks} codebooks: give each codebook one, 0 first "
            "and in ascending order"
        )
    return chosen


def windows_of(n_frames: int, context: int, stride: int, given: int = 0) -> tuple[Window, ...]:
    """Cut a clip into windows, as MusicGen does for long clips.

    Parameters
    ----------
    n_frames : T of the clip.
    context : frames of a window.
    stride : frames from one window's beginning to the next; context − stride are read again.
    given : frames of the clip that are given.

    Raises
    ------
    InputError: a stride outside 1 … context − 1; nothing left to compose.
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


def chunk_steps(n_steps: int) -> int:
    """Return how many steps a chunk of a stack holds: equal shares, because HDF5 stores whole chunks.

    Examples
    --------
    >>> chunk_steps(60), chunk_steps(153)
    (60, 51)
    """
    return ceil(n_steps / ceil(n_steps / _CHUNK_STEPS))

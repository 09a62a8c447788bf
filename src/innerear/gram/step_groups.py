"""Average states over groups of steps before samples are compared.

A layer's Gram file has sums by pair of prompts for each step. Averaging over k steps divides its size by
almost k.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CoarseSteps:
    """Groups of steps, one matrix each: every padded step alone, complete steps by several.

    Attributes
    ----------
    starts : int [G] first step of each group.
    counts : int [G] number of its steps; the last complete group may be shorter.
    complete : bool [G].
    """

    starts: np.ndarray
    counts: np.ndarray
    complete: np.ndarray

    @classmethod
    def of(cls, complete: np.ndarray, size: int) -> "CoarseSteps":
        """Group complete steps by `size`.

        Parameters
        ----------
        complete : bool [S], true in one contiguous run.
        """
        run = np.flatnonzero(complete)
        starts = np.r_[np.flatnonzero(~complete), run[::size]]
        starts.sort()
        return cls(starts, np.diff(np.r_[starts, len(complete)]), complete[starts])

    def average(self, values: np.ndarray, groups: slice = slice(None), axis: int = 0) -> np.ndarray:
        """Average values over the groups' steps along an axis; unchanged if each group is one step."""
        if self.counts.max() == 1:
            return values
        counts, starts = self.counts[groups], self.starts[groups]
        wide = values.astype(np.result_type(values, np.float32))
        sums = np.add.reduceat(wide, starts - starts[0], axis=axis)
        along = [1] * values.ndim
        along[axis] = len(counts)
        return sums / counts.astype(wide.dtype).reshape(along)

    def reader(self, read: Callable[[int, slice], np.ndarray]) -> Callable[[int, slice], np.ndarray]:
        """Turn ``read(i, steps)`` -> [C, S, D] into ``read(i, groups)`` -> averages [C, G, D]."""

        def averaged(i: int, groups: slice) -> np.ndarray:
            starts, counts = self.starts[groups], self.counts[groups]
            states = read(i, slice(int(starts[0]), int(starts[-1] + counts[-1])))
            return self.average(states, groups, axis=1)

        return averaged if self.counts.max() > 1 else read

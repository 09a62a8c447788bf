"""Coarser steps: states averaged over several steps before samples are compared.

A layer's Gram file holds two N × N matrices a step. Averaging over k steps makes it smaller by almost k, and
keeps all that was recorded, at a coarser resolution.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CoarseSteps:
    """Steps in groups that one matrix covers: each pad alone, complete steps by several.

    Attributes
    ----------
    starts : int [G] first step of each group.
    counts : int [G] number of its steps; the last complete group may be shorter than the others.
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
        complete : bool [S], true in one run.
        """
        run = np.flatnonzero(complete)
        starts = np.r_[np.flatnonzero(~complete), run[::size]]
        starts.sort()
        return cls(starts, np.diff(np.r_[starts, len(complete)]), complete[starts])

    def average(self, values: np.ndarray, groups: slice = slice(None), axis: int = 0) -> np.ndarray:
        """Average values of the groups' steps along an axis; as they are where each group is one step."""
        if self.counts.max() == 1:
            return values
        counts, starts = self.counts[groups], self.starts[groups]
        wide = values.astype(np.result_type(values, np.float32))
        sums = np.add.reduceat(wide, starts - starts[0], axis=axis)
        along = [1] * values.ndim
        along[axis] = len(counts)
        return sums / counts.astype(wide.dtype).reshape(along)

    def reader(self, read: Callable[[int, slice], np.ndarray]) -> Callable[[int, slice], np.ndarray]:
        """Make ``read(i, steps)`` -> [C, S, D] one that reads averages: ``read(i, groups)`` -> [C, G, D]."""

        def averaged(i: int, groups: slice) -> np.ndarray:
            starts, counts = self.starts[groups], self.counts[groups]
            states = read(i, slice(int(starts[0]), int(starts[-1] + counts[-1])))
            return self.average(states, groups, axis=1)

        return averaged if self.counts.max() > 1 else read

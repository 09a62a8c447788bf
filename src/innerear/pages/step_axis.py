"""The steps of a study one by one, from Gram files, which may hold groups of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from innerear.gram.reading import GramSource, step_counts


@dataclass(frozen=True)
class StepAxis:
    """The S steps of a study, and the G groups of them that its Gram files and tables have.

    Attributes
    ----------
    starts, counts : int [G] first step of each group, and number of its steps.
    seconds : [S].
    complete : bool [S].
    bins : int [bins, 2] first step of each time bin, and the step after its last.
    """

    starts: NDArray
    counts: NDArray
    seconds: NDArray
    complete: NDArray
    bins: NDArray

    @classmethod
    def of(cls, gram: GramSource) -> "StepAxis":
        """Read the axis of a Gram file; a group's seconds are the mean of its steps'."""
        starts, counts = np.asarray(gram.coords("step"), int), np.asarray(step_counts(gram), int)
        means, middles = np.asarray(gram.read("seconds"), float), starts + (counts - 1) / 2
        slope = np.polyfit(middles, means, 1)[0] if len(means) > 1 else 0.0
        steps = np.arange(counts.sum())
        seconds = np.repeat(means, counts) + slope * (steps - np.repeat(middles, counts))
        begin = np.asarray(gram.read("bin_start"), int)
        last = begin + np.asarray(gram.read("bin_steps"), int) - 1
        bins = np.stack([starts[begin], starts[last] + counts[last]], axis=1)
        complete = np.repeat(np.asarray(gram.read("complete"), bool), counts)
        return cls(starts, counts, seconds, complete, bins)

    def by_layer(self, rows: pd.DataFrame, column: str, layers: Sequence[int]) -> NDArray:
        """Lay a column out as [L, S]: each step has its group's value; NaN where there is no row."""
        values = np.full((len(layers), len(self.starts)), np.nan)
        layer = pd.Index(layers).get_indexer(rows["layer"].tolist())
        group = pd.Index(self.starts).get_indexer(rows["step"].to_numpy(int))
        values[layer, group] = rows[column].to_numpy(float)
        return np.repeat(values, self.counts, axis=1)

"""The steps of a study one by one, from Gram files, which may hold groups of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from innerear.errors import InputError
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
        """Lay a column out as [L, S]; NaN where there is no row.

        Rows of the groups' first steps stand for their groups; rows of other steps stand for one step each.

        Raises
        ------
        InputError: a row of a layer or a step that there is not.
        """
        steps = rows["step"].to_numpy(int)
        grouped = np.isin(steps, self.starts).all()
        begin = self.starts if grouped else np.arange(len(self.complete))
        values = np.full((len(layers), len(begin)), np.nan)
        values[_places(rows["layer"], layers, "layer"), _places(steps, begin, "step")] = rows[column]
        return np.repeat(values, self.counts, axis=1) if grouped else values


def _places(wanted: ArrayLike, there: ArrayLike, name: str) -> NDArray:
    """Return where each of `wanted` stands in `there`."""
    wanted = np.asarray(wanted, int)
    places = pd.Index(np.asarray(there, int)).get_indexer(wanted)
    if (places < 0).any():
        raise InputError(
            f"a table has rows of {name} {wanted[places < 0][0]}, which the Gram files do not have; "
            "it is of another capture: make it again"
        )
    return places

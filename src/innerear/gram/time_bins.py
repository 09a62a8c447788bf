"""The time bins of a layer's Gram file."""

import numpy as np

from innerear.gram.reading import GramSource


def bin_seconds(gram: GramSource) -> np.ndarray:
    """Return the middle of each time bin, in seconds, [bins]."""
    start, steps, seconds = gram.read("bin_start"), gram.read("bin_steps"), gram.read("seconds")
    return (seconds[start] + seconds[start + steps - 1]) / 2


def bin_means(bins: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Average features of bins [bins, N, D] over the samples rows [P, n], float64 [bins, P, D].

    Examples
    --------
    >>> bin_means(np.arange(8.0).reshape(1, 4, 2), np.array([[0, 1], [2, 3]])).tolist()
    [[[1.0, 2.0], [5.0, 6.0]]]
    """
    return np.stack([one[rows].mean(axis=1, dtype=float) for one in bins])

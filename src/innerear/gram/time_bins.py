"""The time bins of a layer's Gram file: their middles, and the Gram matrix of each."""

import numpy as np

from innerear.gram.reading import GramSource


def bin_seconds(gram: GramSource) -> np.ndarray:
    """Return the middle of each time bin, in seconds, [bins]."""
    start, steps, seconds = gram.read("bin_start"), gram.read("bin_steps"), gram.read("seconds")
    return (seconds[start] + seconds[start + steps - 1]) / 2


def bin_grams(gram: GramSource, branch: str) -> np.ndarray:
    """Return the Gram matrix of each time bin, [bins, N, N]: the diagonal blocks of `bin_gram`."""
    inner, n_bins = gram.read("bin_gram", branch=branch), len(gram.read("bin_steps"))
    inner = inner.reshape(len(inner) // n_bins, n_bins, -1, n_bins)
    return np.stack([inner[:, k, :, k] for k in range(n_bins)])

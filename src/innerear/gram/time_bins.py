"""The time bins of a layer's Gram file: their middles, and the Gram matrix of each."""

import numpy as np

from innerear.gram.products import inner_products, set_aside
from innerear.gram.reading import GramSource

# Rows of a product computed at once: float64 never doubles its memory.
_ROWS_AT_ONCE = 256


def bin_seconds(gram: GramSource) -> np.ndarray:
    """Return the middle of each time bin, in seconds, [bins]."""
    start, steps, seconds = gram.read("bin_start"), gram.read("bin_steps"), gram.read("seconds")
    return (seconds[start] + seconds[start + steps - 1]) / 2


def bin_gram(gram: GramSource, branch: str) -> np.ndarray:
    """Return inner products of all bins of all samples, float32 [N * bins, N * bins].

    Row sample × bins + bin. About the mean of the whole window: the bins, weighted by `bin_steps`, average
    to its features.
    """
    means = gram.read("bin_mean", branch=branch).swapaxes(0, 1)  # [N, bins, D]
    rows = np.array(means.reshape(-1, means.shape[-1]), np.float32)
    _, large = set_aside(rows, np.einsum("nd,nd->d", rows, rows))
    products = np.empty((len(rows), len(rows)), np.float32)
    # The upper triangle, and its mirror image.
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        stop = start + _ROWS_AT_ONCE
        upper = inner_products(rows[start:stop], rows[start:]) + large[start:stop] @ large[start:].T
        products[start:stop, start:] = upper
        products[start:, start:stop] = upper.T
    return products


def bin_grams(gram: GramSource, branch: str) -> np.ndarray:
    """Return the Gram matrix of each time bin, float32 [bins, N, N]: the diagonal blocks of `bin_gram`."""
    found = []
    for rows in np.array(gram.read("bin_mean", branch=branch), np.float32):
        _, large = set_aside(rows, np.einsum("nd,nd->d", rows, rows))
        found.append((inner_products(rows) + large @ large.T).astype(np.float32))
    return np.stack(found)

"""Inner products between samples, summed without losing what distinguishes them.

A residual stream's common mean can have 99.99 % of its energy. The features are therefore centred across
samples *before* the product: centring a float32 Gram matrix afterwards would subtract nearly equal numbers.
Products are summed in float32 over a few dimensions at a time, and these sums in float64. The few dimensions
with the most energy, some a thousand times larger than the others, are summed in float64 alone.
"""

import numpy as np

# Dimensions whose products are summed in float32.
_DIMS_AT_ONCE = 512
# Dimensions of most energy whose products are summed in float64.
_LARGE_DIMS = 8


def inner_products(features: np.ndarray) -> np.ndarray:
    """Return the inner products of float32 rows [..., N, D] with one another, float64 [..., N, N].

    At any width, the error is below 512 × 2⁻²⁴ = 3e-5 of the product of the rows' lengths, and near 4e-7 of
    it in practice.
    """
    products = np.zeros((*features.shape[:-1], features.shape[-2]))
    for start in range(0, features.shape[-1], _DIMS_AT_ONCE):
        part = features[..., start : start + _DIMS_AT_ONCE]
        products += part @ part.swapaxes(-1, -2)
    return products


def set_aside(features: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Set the dimensions of most energy [..., D] to 0 in features [..., N, D]; return indices, values.

    In a float32 sum with them, the other dimensions' contributions would be rounded off.
    """
    n_large = min(_LARGE_DIMS, features.shape[-1])
    largest = np.argpartition(energy, -n_large, axis=-1)[..., None, -n_large:]
    values = np.take_along_axis(features, largest, axis=-1).astype(float)
    np.put_along_axis(features, largest, 0, axis=-1)
    return largest, values


def squared_lengths(states: np.ndarray) -> np.ndarray:
    """Return the squared lengths [..., N] of states [..., N, D]."""
    return np.einsum("...d,...d->...", states, states)


def double_centred(products: np.ndarray) -> np.ndarray:
    """Double-centre Gram matrices [..., N, N] in place."""
    shift = products.mean(axis=-1)
    shift -= shift.mean(axis=-1, keepdims=True) / 2
    products -= shift[..., :, None]
    products -= shift[..., None, :]
    return products

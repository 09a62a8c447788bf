"""Nested models: the share of what the labels leave that measurements explain.

Three ridge models of the same kind, of the labels, of the measurements, and of both. Each is fitted on some
templates, with a penalty chosen within them, and judged on the others.
"""

import numpy as np


def joined_kernel(*kernels: np.ndarray) -> np.ndarray:
    """Add kernels [N, N], each centred and scaled to a mean square of 1: all have equal weight.

    Examples
    --------
    >>> joined_kernel(np.diag([2.0, 0.0])).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    joined = np.zeros(kernels[0].shape)
    for kernel in kernels:
        about = np.asarray(kernel, float) - np.mean(kernel, axis=0)
        about -= about.mean(axis=1, keepdims=True)
        size = np.trace(about) / len(about)
        joined += about / size if size > 0 else 0
    return joined


def share_of_the_rest(label: np.ndarray, both: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return (SSE of the label − SSE of both) ÷ SSE of the label, at most 1, of squared held-out errors.

    A model of the label that does worse than the mean counts as the mean: what a bad model of the label gets
    wrong is no merit of the measurements. Negative where the measurements only add noise.

    Examples
    --------
    >>> share_of_the_rest(np.array([4.0, 9.0]), np.array([3.0, 3.0]), np.array([5.0, 4.0]))
    array([0.25, 0.25])
    """
    left = np.maximum(np.minimum(label, mean), np.finfo(np.float32).tiny)
    return (left - both) / left

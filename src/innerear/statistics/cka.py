"""Debiased linear CKA: similarity of two representations of the same samples, up to rotation and scale."""

import numpy as np

from innerear.errors import InputError

# Share of a Gram matrix's size below which what U-centring leaves is rounding.
_NOTHING = 1e-6
_FEWEST = 4


def debiased_cka(gram_x: np.ndarray, gram_y: np.ndarray) -> float:
    """Linear CKA with the unbiased HSIC estimator (Song et al. 2012, eq. 5; Murphy et al. 2024).

    Of Gram matrices (N, N) of the same N ≥ 4 samples, in the same order, centred or not: 1 for
    representations equal up to rotation, shift and scale; 0 in expectation for independent ones (may be
    slightly negative); NaN if either does not vary.

    Raises
    ------
    InputError: fewer than 4 samples, or shapes that differ.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(10, 3))
    >>> round(debiased_cka(x @ x.T, 4 * x @ x.T), 6)
    1.0
    """
    x, y = np.asarray(gram_x, float), np.asarray(gram_y, float)
    if x.shape != y.shape or x.ndim != 2 or x.shape[0] != x.shape[1]:
        raise InputError(
            f"Gram matrices of shapes {x.shape} and {y.shape}: both must be (N, N) of the same samples"
        )
    if len(x) < _FEWEST:
        raise InputError(f"debiased CKA of {len(x)} samples: its estimator needs at least {_FEWEST}")
    return float(cka_vectors(x) @ cka_vectors(y))


def cka_vectors(grams: np.ndarray) -> np.ndarray:
    """Turn Gram matrices [..., N, N] into unit vectors [..., pairs]: their inner products are debiased CKA.

    The unbiased HSIC is the inner product of U-centred matrices (Székely & Rizzo 2014): entries off the
    diagonal without the samples' additive effects. NaN where nothing is left, and for fewer than 4 samples.
    """
    n = grams.shape[-1]
    i, j = np.triu_indices(n, 1)
    if n < _FEWEST:
        return np.full((*grams.shape[:-2], len(i)), np.nan)
    inner = np.array(grams, float)
    inner[..., np.arange(n), np.arange(n)] = 0
    size = np.linalg.norm(inner, axis=(-2, -1))[..., None]
    sums = inner.sum(axis=-1)
    vectors = inner[..., i, j] - (sums[..., i] + sums[..., j]) / (n - 2)
    vectors += (sums.sum(axis=-1) / ((n - 1) * (n - 2)))[..., None]
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.full_like(vectors, np.nan), where=length > _NOTHING * size)

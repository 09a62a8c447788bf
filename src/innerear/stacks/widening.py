"""Widen float16 states to float32: several times as fast as NumPy, which converts one number at a time."""

import numpy as np

# Of the bits of a float16, moved to the place of a float32's: all but the copies of its sign.
_KEPT = np.int32(-0x7000_2000)
# The two formats count exponents from -15 and -127.
_EXPONENTS = np.float32(2.0**112)
# What the largest exponent of float16, of infinities and NaN, would be otherwise.
_NOT_FINITE = 2.0**16


def widened(values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return values [...] as float32, written into `out` if it is given: exactly what `astype` returns.

    Examples
    --------
    >>> widened(np.array([0.5, -2.0, np.inf], np.float16)).tolist()
    [0.5, -2.0, inf]
    """
    out = np.empty(values.shape, np.float32) if out is None else out
    if values.dtype != np.float16 or not values.size:
        np.copyto(out, values)
    elif values.ndim > 2:  # few enough numbers at a time to stay in the processor's cache
        for one, wide in zip(values, out, strict=True):
            widened(one, wide)
    else:
        bits = out.view(np.int32)
        np.copyto(bits, values.view(np.int16))
        bits <<= 13
        bits &= _KEPT
        out *= _EXPONENTS
        if out.max() >= _NOT_FINITE or out.min() <= -_NOT_FINITE:
            np.copyto(out, values)
    return out

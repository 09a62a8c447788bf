"""Arrays in a page: exact, small, and proved at build to unpack to what was packed."""

import base64
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from innerear.errors import InputError

#: what values are counted in: tables hold six digits after the point
UNIT = 1e-6
#: stands for NaN among counts, and among indices of a list
MISSING, NO_INDEX = -(2**31), 2**16 - 1
_TYPES = {"i4": np.int32, "u2": np.uint16, "u1": np.uint8, "i1": np.int8}


@dataclass(frozen=True)
class Packed:
    """An array as the page holds it: base64 of zlib of its bytes, all first ones, then all second ones, …"""

    kind: str
    shape: tuple[int, ...]
    text: str


def pack(values: NDArray) -> Packed:
    """Pack an array of int32, uint16, uint8 or int8.

    Examples
    --------
    >>> bool((unpack(pack(np.array([[1, -2]], np.int32))) == [[1, -2]]).all())
    True
    """
    kind = next(name for name, dtype in _TYPES.items() if dtype == values.dtype)
    planes = np.ascontiguousarray(values.astype(f"<{kind}")).view(np.uint8).reshape(-1, values.itemsize).T
    text = base64.b64encode(zlib.compress(np.ascontiguousarray(planes).tobytes(), 9)).decode()
    packed = Packed(kind, values.shape, text)
    if not np.array_equal(unpack(packed), values):
        raise AssertionError("a packed array does not unpack to itself")
    return packed


def unpack(packed: Packed) -> NDArray:
    """Return the array that was packed, as the page's script does."""
    dtype = np.dtype(f"<{packed.kind}")
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed.text)), np.uint8)
    return np.ascontiguousarray(planes.reshape(dtype.itemsize, -1).T).view(dtype).reshape(packed.shape)


def counted(values: ArrayLike, name: str) -> NDArray[np.int32]:
    """Return values as counts of `UNIT`, NaN as `MISSING`.

    Raises
    ------
    InputError: a value that is no such count, or too large for one; `name` says of what.

    Examples
    --------
    >>> counted([0.5, float("nan")], "map").tolist()
    [500000, -2147483648]
    """
    given = np.asarray(values, float)
    known = np.isfinite(given)
    counts = np.round(np.where(known, given, 0) / UNIT)
    if np.abs(counts).max(initial=0) >= -MISSING:
        largest = np.abs(given[known]).max()
        raise InputError(f"{name}: {largest:g} is too large for the map of layers and steps")
    wrong = known & (counts / round(1 / UNIT) != given)
    if wrong.any():
        raise InputError(f"{name}: {given[wrong].flat[0]!r} has more than six digits after the point")
    return np.where(known, counts, MISSING).astype(np.int32)


def listed(values: ArrayLike) -> tuple[NDArray[np.uint16], list[float]]:
    """Return values as indices of a list of the different ones; NaN as `NO_INDEX`.

    p of m permutations are at most m + 1 different numbers, which stay as they are.

    Raises
    ------
    InputError: more different values than indices.

    Examples
    --------
    >>> places, numbers = listed([0.5, 0.25, float("nan"), 0.5])
    >>> places.tolist(), numbers
    ([1, 0, 65535, 1], [0.25, 0.5])
    """
    given = np.asarray(values, float)
    known = np.isfinite(given)
    numbers = np.unique(given[known])
    if len(numbers) >= NO_INDEX:
        raise InputError(f"{len(numbers)} different p are too many for a page; {NO_INDEX - 1} are the most")
    places = np.full(given.shape, NO_INDEX, np.uint16)
    places[known] = np.searchsorted(numbers, given[known])
    return places, numbers.tolist()

"""What a page holds is what a table holds, to the last bit, or is refused."""

import base64
import zlib

import numpy as np
import pytest

from innerear.errors import InputError
from innerear.pages.pack import MISSING, NO_INDEX, UNIT, counted, listed, pack, unpack


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.uint8, np.int8])
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5, 7)])
def test_unpacking_gives_the_array_back(dtype, shape):
    ends = np.iinfo(dtype)
    values = np.random.default_rng(0).integers(ends.min, ends.max, shape, dtype, endpoint=True)
    packed = pack(values)
    assert unpack(packed).dtype == dtype
    np.testing.assert_array_equal(unpack(packed), values)


def test_planes_are_smaller_than_bytes_as_they_lie():
    """Neighbours share their high bytes."""

    values = np.arange(20000, dtype=np.int32) * 7
    assert len(pack(values).text) < len(base64.b64encode(zlib.compress(values.tobytes(), 9)))


def test_counts_are_the_tables_numbers_exactly():
    """Every number of six digits is the quotient that the script forms, to the last bit."""
    texts = [f"{number:.6f}" for number in np.random.default_rng(1).uniform(-2000, 2000, 5000)]
    numbers = np.array([float(text) for text in texts])
    counts = counted(numbers, "map")
    assert (counts / round(1 / UNIT) == numbers).all()
    assert counted([np.nan, np.inf], "map").tolist() == [MISSING, MISSING]


@pytest.mark.parametrize(
    ("value", "why"), [(0.1234567, "six digits"), (2200.0, "too large"), (-2200.0, "too large")]
)
def test_what_cannot_be_held_is_refused(value, why):
    with pytest.raises(InputError, match=f"map.*{why}|{why}"):
        counted([0.5, value], "map")


def test_p_stay_as_they_are():
    p = np.array([[1 / 1001, 3 / 1001], [1.0, np.nan]])
    places, numbers = listed(p)
    assert places[1, 1] == NO_INDEX
    assert [numbers[i] for i in places.ravel()[:3]] == p.ravel()[:3].tolist()

"""Widening is NumPy's own conversion, for every number that float16 has."""

import numpy as np
import pytest

from innerear.stacks.widening import widened

EVERY = np.arange(2**16, dtype=np.uint16).view(np.float16)


def assert_same(found, expected):
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.view(np.int32), expected.astype(np.float32).view(np.int32))


def test_every_number_is_widened_exactly():
    assert_same(widened(EVERY), EVERY)
    finite = EVERY[np.isfinite(EVERY)]
    assert_same(widened(finite), finite)


@pytest.mark.parametrize("shape", [(2**16,), (4, 2**14), (2, 4, 2**13)])
def test_any_shape_and_stride_may_be_written_into_an_array(shape):
    values, out = EVERY.reshape(shape)[..., ::2], np.empty((*shape[:-1], shape[-1] // 2), np.float32)
    assert widened(values, out) is out
    assert_same(out, values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_other_types_are_converted(dtype):
    values = np.arange(6, dtype=dtype).reshape(2, 3)
    np.testing.assert_array_equal(widened(values), values)


def test_nothing_stays_nothing():
    assert widened(np.empty((0, 3), np.float16)).shape == (0, 3)

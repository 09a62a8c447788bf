"""Tables of one study of 8 clips, made in two ways: equal up to rounding."""

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

# An F of thousands divides by rounding: it need only be as large in both.
_LARGEST = 1000
# A p may move by two of the 49 relabelings, which nearly tie.
_RELATIVE, _ABSOLUTE, _OF_P = 0.01, 2e-3, 0.041
_P_VALUES = ("p", "p_corrected", "p_flip", "p_flip_corrected", "q")


def assert_near(table, other, name, ignored):
    """Compare all columns but those whose names hold one of the `ignored` parts."""
    assert list(other.columns) == list(table.columns), name
    for column in table.columns:
        if any(part in column for part in ignored):
            continue
        where = f"{name}, {column}"
        if not is_numeric_dtype(table[column]):
            # Numbers that a sentence repeats have columns of their own.
            texts = [
                of[column].astype(str).str.replace(r"\d+(\.\d+)?", "#", regex=True) for of in (table, other)
            ]
            pd.testing.assert_series_equal(*texts, obj=where)
            continue
        one, same = (of[column].to_numpy(float).clip(-_LARGEST, _LARGEST) for of in (table, other))
        room = _OF_P if column in _P_VALUES else _ABSOLUTE
        outside = ~np.isclose(same, one, rtol=_RELATIVE, atol=room, equal_nan=True)
        # With 8 clips some values hang on rounding: a share of clips jumps, an F divides by nothing.
        assert outside.mean() <= 0.03, (where, one[outside], same[outside])

"""What figures say of n and of tests is true of all rows that they draw."""

import pandas as pd

from innerear.figures.drawing.tables import how_tested, n_and_bands

ROWS = pd.DataFrame(
    {
        "n_prompts": 24,
        "n_perm": [1000, 99, 0],
        "min_p": [0.001, 0.0417, float("nan")],
        "p_corrected": [0.01, 0.2, float("nan")],
        "family": ["layers", "layers", ""],
        "null": ["labels permuted", "pairs permuted", "none: an estimate"],
        "interval": ["95% of 99 bootstraps of prompts", "", "none: an estimate"],
    }
)


def test_rows_that_were_tested_otherwise_are_all_said():
    assert how_tested(ROWS, "") == "n: 24 prompts; 99 to 1000 permutations, smallest p 0.001 to 0.042"
    assert how_tested(ROWS[:1], "") == "n: 24 prompts; 1000 permutations, smallest p 0.001"


def test_intervals_are_of_what_the_table_says():
    assert n_and_bands(ROWS) == "n: 24 prompts; bands: 95% of 99 bootstraps of prompts"
    assert n_and_bands(ROWS[:1], "bars") == "n: 24 prompts; bars: 95% of 99 bootstraps of prompts"
    assert n_and_bands(ROWS[1:]) == "n: 24 prompts; bands: none"

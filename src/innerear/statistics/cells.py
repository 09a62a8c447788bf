"""Estimates of a layer's cells, its steps and windows: their intervals and their tests."""

import numpy as np
import pandas as pd

from innerear.statistics.design import Design
from innerear.statistics.significance import percentile_interval
from innerear.statistics.table import blank, record


def estimates(
    cells: pd.DataFrame, design: Design, estimate: np.ndarray, boots: np.ndarray, **columns: object
) -> pd.DataFrame:
    """Return rows of estimates with bootstrap intervals and without a test yet.

    Parameters
    ----------
    cells : one row per cell, columns that say which.
    design : what was resampled.
    estimate : [cells]; boots : [m, cells] the same in every bootstrap.
    columns : further columns, or others in place of those of the interval.
    """
    low, high, interval = percentile_interval(estimate, boots, design.resampled)
    measured = {"estimate": estimate, "ci_lo": low, "ci_hi": high, "interval": interval}
    return blank(cells, design, **measured | columns)


def record_by_over(
    table: pd.DataFrame, design: Design, null: np.ndarray, *, m: int, why_not: str
) -> list[tuple[dict[str, str], np.ndarray]]:
    """Test one statistic's steps and its windows (column `over`), each as a family, and write the results.

    Parameters
    ----------
    table : rows of `estimates`, changed in place. Rows whose estimate is NaN keep the reason in `null`.
    design : what was permuted.
    null : [≤ m, rows] the estimate under each permutation.
    m : number of permutations of the study.
    why_not : why rows with an estimate were not tested, where the design would allow it.

    Returns
    -------
    Names and null maxima of each tested family, as `null_table` takes them.
    """
    estimate, maxima = table["estimate"].to_numpy(float), []
    reasons = table["null"].where(np.isnan(estimate))
    for over in dict.fromkeys(table["over"]):
        mine = np.flatnonzero(table["over"] == over)
        family = f"{over} of this layer and branch"
        tested = record(
            table, mine, design, estimate[mine], null[:, mine], m=m, family=family, why_not=why_not
        )
        maxima += [({"statistic": table["statistic"].iloc[0], "over": over}, one) for one in tested]
    table["null"] = reasons.fillna(table["null"])
    return maxima

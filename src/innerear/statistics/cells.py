"""Estimates of a layer's cells, its steps and windows: their intervals and their tests."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from innerear.statistics.design import Design
from innerear.statistics.significance import with_interval
from innerear.statistics.table import INTERVAL, Maxima, blank, record, record_flips


def estimates(
    cells: pd.DataFrame,
    design: Design,
    estimate: np.ndarray,
    boots: np.ndarray,
    resampled: str = "",
    **columns: object,
) -> pd.DataFrame:
    """Return rows of estimates [cells] with intervals of bootstraps [m, cells], and without a test yet.

    `cells` has columns that say which cell; `columns` are further ones, or in place of the interval's.
    `resampled` is what bootstraps resample, if not `Design.resampled`.
    """
    return blank(cells, design, **with_interval(estimate, boots, resampled or design.resampled) | columns)


def write_estimates(
    table: pd.DataFrame, rows: np.ndarray, design: Design, estimate: np.ndarray, boots: np.ndarray
) -> None:
    """Write estimates [cells] and intervals from bootstraps [m, cells] into some rows, in place."""
    found = with_interval(estimate, boots, design.resampled)
    table.loc[rows, list(INTERVAL)] = np.stack([found[name] for name in INTERVAL], axis=1)


def rounded(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join rows, estimates and intervals to six decimals; more would only make long tables twice as long."""
    return pd.concat(frames, ignore_index=True).round(dict.fromkeys(INTERVAL, 6))


def no_p(design: Design) -> list[str]:
    """Remark that the design allows no test of labels; empty where it does."""
    return [f"estimates without p: {design.why_not()}"] if design.why_not() else []


def record_by_over(
    table: pd.DataFrame,
    design: Design,
    null: np.ndarray,
    *,
    why_not: str,
    contrasts: np.ndarray | None = None,
    moved: str = "",
) -> list[Maxima]:
    """Test one statistic's steps and its windows (column `over`), each as a family, and write the results.

    Parameters
    ----------
    table : rows of `estimates`, changed in place. Rows whose estimate is NaN keep the reason in `null`.
    null : [≤ m, rows] the estimate under each permutation.
    why_not : why rows with an estimate were not tested, where the design would allow it.
    contrasts : [rows, T, T] for the sign flips of templates, see `record_flips`.
    moved : as in `record`.
    """
    estimate, maxima = table["estimate"].to_numpy(float), []
    reasons = table["null"].where(np.isnan(estimate))
    for over in dict.fromkeys(table["over"]):
        mine = np.flatnonzero(table["over"] == over)
        family = f"{over} of this layer and branch"
        maxima += record(
            *(table, mine, design, estimate[mine], null[:, mine]), family=family, why_not=why_not, moved=moved
        )
        if contrasts is not None:
            maxima += record_flips(table, mine, design, contrasts[mine])
    table["null"] = reasons.fillna(table["null"])
    return maxima

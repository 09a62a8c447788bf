"""p-values of families of cells against a permutation null, and max-T over maps of them.

Where the null comes from is not known here: only `innerear.design.Design` makes permutations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from innerear.errors import InputError

# A relabeling that only renames gives the observed value again, up to rounding: that is a tie.
_TIE = 1e-5


@dataclass(frozen=True)
class Significance:
    """A family of cells tested together against one permutation null.

    Attributes
    ----------
    p, p_corrected : [cells] one-sided p-values (larger is more extreme), and the same by max-T over
        the family; NaN where a cell cannot be tested.
    score : [cells] what max-T compares: the observed statistic, standardised or not (`against_null`).
    null_max : [m] the largest of these over the family under each permutation. The elementwise maximum of
        several families' `null_max` is the null of their union, which is how maps over layers are
        corrected after layers were computed apart (`correct_over`).
    """

    p: np.ndarray
    p_corrected: np.ndarray
    score: np.ndarray
    null_max: np.ndarray


def against_null(
    observed: np.ndarray, null: np.ndarray, *, smallest: float = 0.0, standardise: bool = True
) -> Significance:
    """Test a family of cells, one-sided, with max-T.

    Parameters
    ----------
    observed : [cells]; NaN where a cell is not to be tested.
    null : [m, cells].
    smallest : the smallest p that the design can reach, below which no p is reported although a
        drawn null may hold few ties by luck; NaN where there is no null, which makes every p NaN.
    standardise : compare cells by z, the statistic in units of its own permutation distribution with
        the observed one included (after Westfall & Young 1993): for cells that differ in spread.
        False compares the statistics as they are: for those on one scale, such as R², whose nulls
        may be narrow with a heavy tail, so that a z would mean little.

    Notes
    -----
    p = (b + 1) / (m + 1).
    """
    observed, null = np.asarray(observed, float), np.asarray(null, float)
    usable = np.isfinite(observed) & np.isfinite(null).all(axis=0)
    p, score = np.full(observed.shape, np.nan), np.full(observed.shape, np.nan)
    if np.isnan(smallest) or not usable.any():
        return Significance(p, p.copy(), score, np.full(len(null), -np.inf))
    pooled = np.vstack([observed[None, usable], null[:, usable]])  # [1 + m, cells]
    scores = pooled
    if standardise:
        spread = pooled.std(axis=0)
        scores = (pooled - pooled.mean(axis=0)) / np.where(spread > 0, spread, 1)
    score[usable] = scores[0]
    p[usable] = np.maximum((1 + (scores[1:] >= scores[0] - _TIE).sum(axis=0)) / (len(null) + 1), smallest)
    null_max = scores[1:].max(axis=1)
    return Significance(p, np.maximum(max_t(score, null_max), smallest), score, null_max)


def max_t(score: np.ndarray, null_max: np.ndarray) -> np.ndarray:
    """Return each cell's p against the largest score of the family, NaN where it has none.

    Parameters
    ----------
    score : [cells] observed; null_max : [m] from `Significance`.
    """
    score = np.asarray(score, float)
    at_least = len(null_max) - np.searchsorted(np.sort(null_max), score - _TIE)
    return np.where(np.isnan(score), np.nan, (1 + at_least) / (len(null_max) + 1))


def correct_over(
    tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame], by: Sequence[str], family: str
) -> pd.DataFrame:
    """Join per-layer tables and correct them over the whole map.

    Parameters
    ----------
    tables : one per layer, with columns `score`, `p_corrected`, `min_p`, `family` and those of `by`.
    nulls : one per layer, as `null_table` makes them.
    by : columns that name a map, such as branch and statistic; layers × cells within it are one family.
    family : text for the `family` column, in place of the per-layer one.

    Returns
    -------
    All rows, with `p_corrected` by max-T over all layers.

    Raises
    ------
    InputError: the layers were tested against different permutation tables.
    """
    table = pd.concat(tables, ignore_index=True)
    null = pd.concat(nulls, ignore_index=True)
    used = sorted(set(null["permutations"]))
    if len(used) > 1:
        raise InputError(
            f"layers were tested against different permutation tables ({', '.join(used)}): "
            "remake them with one study seed, one index and one number of permutations"
        )
    maps = _keys(table, by)
    null_maps = _keys(null, by)
    values = null.drop(columns=[*by, "permutations"]).to_numpy(float)  # [layers * maps, m]
    score, corrected = table["score"].to_numpy(float), table["p_corrected"].to_numpy(float, copy=True)
    for key in set(null_maps):
        rows = np.array([one == key for one in maps])
        largest = values[[one == key for one in null_maps]].max(axis=0)
        corrected[rows] = max_t(score[rows], largest)
    corrected = np.maximum(corrected, table["min_p"].to_numpy(float))
    return table.assign(p_corrected=corrected, family=np.where(np.isnan(score), "", family))


def null_table(
    rows: Sequence[tuple[dict[str, str], np.ndarray]], permutations: str, by: Sequence[str], m: int
) -> pd.DataFrame:
    """Table the null maxima of one layer's families, for `correct_over`.

    Parameters
    ----------
    rows : for each family the values of the columns that name its map, and `Significance.null_max` [m];
        none where the design has no null.
    permutations : `Design.permutation_hash` of the table behind them.
    by : the naming columns.
    m : number of permutations.

    Returns
    -------
    The naming columns, `permutations`, and a column per permutation.
    """
    names = pd.DataFrame([name for name, _ in rows], columns=list(by))
    names["permutations"] = permutations
    values = np.array([null_max for _, null_max in rows], float).reshape(len(rows), m)
    return pd.concat([names, pd.DataFrame(values, columns=[str(k) for k in range(m)])], axis=1)


def _keys(table: pd.DataFrame, by: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(*(map(str, table[column]) for column in by), strict=True))

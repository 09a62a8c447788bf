"""p-values of families of cells against a permutation null, and max-T over maps of them.

Only `innerear.statistics.design.Design` makes permutations; this module takes the null as given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from innerear.errors import InputError

#: A relabeling that only renames gives the observed value again, up to rounding: a tie. Of scores as they
#: are, this is the rounding of an R² of float32 products; of flips, which are the same numbers with other
#: signs, it is a share of their spread.
TIE = 1e-5
CONFIDENCE = 0.95
#: what an interval says of itself that reaches as many standard errors as t says
T_INTERVAL = "t interval"
#: p at or below it is significant, in tables, findings and figures
ALPHA = 0.05
#: what moved behind null maxima: labels between prompts, or the signs of templates
PERMUTATION, FLIP = "labels", "signs"
#: for either, the columns of the score, of the corrected p, and of the least p
_CORRECTED = {PERMUTATION: ("score", "p_corrected", "min_p"), FLIP: ("flip_score", "p_flip_corrected", None)}
#: share of bootstraps that may lack a statistic and be dropped; with more there is no interval
MAX_DROPPED = 0.05


@dataclass(frozen=True)
class Significance:
    """A family of cells tested together against one permutation null.

    `p` and `p_corrected` [cells] are one-sided (larger is more extreme), alone and by max-T over the family;
    NaN where a cell cannot be tested. `score` [cells] is what max-T compares: the observed statistic,
    standardised or not. `null_max` [m] is the family's largest score under each permutation. The elementwise
    maximum of several families' `null_max` is the null of their union; `correct_over` joins layers by it.
    """

    p: np.ndarray
    p_corrected: np.ndarray
    score: np.ndarray
    null_max: np.ndarray


def against_null(
    observed: np.ndarray,
    null: np.ndarray,
    *,
    smallest: float = 0.0,
    standardise: bool = True,
    of_flips: bool = False,
) -> Significance:
    """Test a family of cells, one-sided, with max-T.

    Parameters
    ----------
    observed : [cells]; NaN where a cell is not to be tested.
    null : [m, cells].
    smallest : the smallest p that the design can reach; no smaller p is reported, although a drawn
        null may hold few ties by luck. If it is NaN, or the null is empty, every p is NaN.
    standardise : compare cells by z, the statistic in units of its own permutation distribution with
        the observed one included (after Westfall & Young 1993): for cells that differ in spread.
        False compares the statistics as they are: for those on one scale, such as R². Their nulls
        may be narrow with a heavy tail, where a z means little.
    of_flips : the null is of sign flips, so that ties are told by the scores' own spread.

    Notes
    -----
    p = (b + 1) / (m + 1) for b permutations at least as extreme.

    Examples
    --------
    >>> against_null(np.array([2.0, 0.0]), np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])).p
    array([0.25, 1.  ])
    """
    observed, null = np.asarray(observed, float), np.asarray(null, float)
    usable = np.isfinite(observed) & np.isfinite(null).all(axis=0)
    p, score = np.full(observed.shape, np.nan), np.full(observed.shape, np.nan)
    if np.isnan(smallest) or not len(null) or not usable.any():
        return Significance(p, p.copy(), score, np.full(len(null), -np.inf))
    pooled = np.vstack([observed[None, usable], null[:, usable]])  # [1 + m, cells]
    scores = pooled
    if standardise:
        spread = pooled.std(axis=0)
        scores = (pooled - pooled.mean(axis=0)) / np.where(spread > 0, spread, 1)
    score[usable] = scores[0]
    tie = TIE * scores.std(axis=0) if of_flips else TIE
    p[usable] = np.maximum((1 + (scores[1:] >= scores[0] - tie).sum(axis=0)) / (len(null) + 1), smallest)
    null_max = scores[1:].max(axis=1)
    corrected = max_t(score, null_max, of_flips=of_flips)
    return Significance(p, np.maximum(corrected, smallest), score, null_max)


def write_test(
    table: pd.DataFrame,
    rows: np.ndarray,
    result: Significance,
    *,
    min_p: float,
    null: str,
    family: str,
    why_not: Sequence[str],
) -> None:
    """Write a family's results into the common columns of a table.

    Parameters
    ----------
    table : from `blank`, changed in place; its index counts its rows.
    rows : [cells] the positions of the family's rows.
    min_p, null, family : for the cells that were tested; `n_perm` is the length of `null_max`.
    why_not : [cells] reasons, for the `null` of those that were not.
    """
    for name in ("p", "p_corrected", "score"):
        table.loc[rows, name] = getattr(result, name)
    tested = np.isfinite(result.p)
    common = {"n_perm": len(result.null_max), "min_p": min_p, "null": null, "family": family}
    for name, value in common.items():
        table.loc[rows[tested], name] = value
    reasons = [f"none: {why}" for why, done in zip(why_not, tested, strict=True) if not done]
    table.loc[rows[~tested], "null"] = reasons


def percentile_interval(
    estimate: np.ndarray, boots: np.ndarray, resampled: str
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return the ends of 95 % bootstrap intervals, and the text that says what they are of.

    Of estimates [cells] and the same in every bootstrap, [m, cells]; NaN where a resample holds nothing to
    compute it from. `low` and `high` [cells] are NaN where the estimate is, or if more than 5 % of resamples
    were dropped, since the others would speak for a larger design; the text is then ``"none: …"`` with the
    reason.

    Examples
    --------
    >>> percentile_interval(np.array([0.5]), np.linspace(0, 1, 101)[:, None], "templates")
    (array([0.025]), array([0.975]), '95% of 101 bootstraps of templates')
    """
    low, high = np.full((2, len(estimate)), np.nan)
    cells = np.isfinite(estimate)
    if not cells.any() or not len(boots):
        return low, high, "none: nothing to resample"
    drawn = np.ascontiguousarray(boots[:, cells].T)  # quantiles of rows are much faster
    whole = np.isfinite(drawn).all(axis=0)
    dropped = 1 - whole.mean()
    if dropped > MAX_DROPPED:
        return low, high, f"none: {dropped:.0%} of resamples hold no such pairs"
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    drawn = drawn if whole.all() else drawn[:, whole]
    low[cells], high[cells] = np.quantile(drawn, tails, axis=1, overwrite_input=True)
    return low, high, f"{CONFIDENCE:.0%} of {len(boots)} bootstraps of {resampled}"


def with_interval(estimate: np.ndarray, boots: np.ndarray, resampled: str) -> dict[str, np.ndarray | str]:
    """Return estimates and their `percentile_interval` as columns of a table."""
    low, high, text = percentile_interval(estimate, boots, resampled)
    return {"estimate": estimate, "ci_lo": low, "ci_hi": high, "interval": text}


def first_of(columns: Mapping[str, np.ndarray | str]) -> dict[str, object]:
    """Return the first of each column's values; texts as they are."""
    return {name: values if isinstance(values, str) else values[0] for name, values in columns.items()}


def max_t(score: np.ndarray, null_max: np.ndarray, *, of_flips: bool = False) -> np.ndarray:
    """Return each cell's p of its score [cells] against the largest of the family [m]; NaN where it has none.

    NaN in `null_max` stands for permutations not used. `of_flips` as in `against_null`.

    Examples
    --------
    >>> max_t(np.array([3.0, 1.0]), np.array([0.0, 1.0, 2.0, 2.0]))
    array([0.2, 0.8])
    """
    score, null_max = np.asarray(score, float), null_max[~np.isnan(null_max)]
    tie = TIE * null_max.std() if of_flips and len(null_max) else TIE
    at_least = len(null_max) - np.searchsorted(np.sort(null_max), score - tie)
    return np.where(np.isnan(score), np.nan, (1 + at_least) / (len(null_max) + 1))


def correct_over(
    tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame], by: Sequence[str], family: str
) -> pd.DataFrame:
    """Join tables of layers, and correct `p_corrected` by max-T over the whole map.

    Parameters
    ----------
    tables, nulls : of one layer or several each, with the common columns, and from `null_table`.
    by : columns that name a map, such as branch and statistic; layers × cells within it are one family.
    family : text for the `family` column, in place of a layer's own; may name columns of `by` in braces.

    Raises
    ------
    InputError: the layers were tested against different permutation tables.
    """
    table = pd.concat(tables, ignore_index=True)
    null = pd.concat(nulls, ignore_index=True)
    for kind, (scored, corrected, _) in _CORRECTED.items():
        if scored in table:
            of_kind = null.iloc[np.flatnonzero(null["moved"] == kind)]
            table[corrected] = _corrected(table, of_kind, by, kind)
    families = np.full(len(table), "", object)
    for key, rows in _rows_by(table, by).items():
        families[rows] = family.format_map(dict(zip(by, key, strict=True)))
    families[table["score"].isna()] = ""
    return table.assign(family=families)


def _corrected(table: pd.DataFrame, null: pd.DataFrame, by: Sequence[str], kind: str) -> np.ndarray:
    """Return the column of p corrected by max-T over each map of layers, of permutations or of flips."""
    scored, corrected, least = _CORRECTED[kind]
    used = sorted(set(null["permutations"]))
    if len(used) > 1:
        raise InputError(
            f"layers were tested against different permutation tables ({', '.join(used)}): "
            "remake them with one study seed, one index and one number of permutations"
        )
    values = null.drop(columns=[*by, "permutations", "moved"]).to_numpy(float)  # [layers * maps, m]
    score, p = table[scored].to_numpy(float), table[corrected].to_numpy(float, copy=True)
    null_rows = _rows_by(null, by)
    for key, rows in _rows_by(table, by).items():
        if key in null_rows:
            p[rows] = max_t(score[rows], values[null_rows[key]].max(axis=0), of_flips=kind == FLIP)
    return np.maximum(p, table[least].to_numpy(float)) if least else p


def null_table(
    rows: Sequence[tuple[Mapping[str, object], np.ndarray]],
    permutations: str,
    by: Sequence[str],
    m: int,
    flips: str = "",
) -> pd.DataFrame:
    """Table the null maxima of one layer's families, for `correct_over`: a column per permutation.

    Parameters
    ----------
    rows : for each family a mapping with the naming columns `by`, and its `Significance.null_max`; shorter
        than m if fewer permutations were used (then NaN), empty without a null.
    permutations, flips : `Design.permutation_hash` and `Design.flip_hash` of the tables behind them. Rows
        whose mapping has ``moved: "signs"`` are of flips.
    """
    named = [{"moved": PERMUTATION} | dict(name) for name, _ in rows]
    names = pd.DataFrame(named, columns=[*by, "moved"])
    names["permutations"] = np.where(names["moved"] == FLIP, flips, permutations)
    values = np.full((len(rows), m), np.nan)
    for row, (_, null_max) in zip(values, rows, strict=True):
        row[: len(null_max)] = null_max
    return pd.concat([names, pd.DataFrame(values, columns=[str(k) for k in range(m)])], axis=1)


def _rows_by(table: pd.DataFrame, by: Sequence[str]) -> dict[tuple[str, ...], np.ndarray]:
    """Positions of the rows of each map, by the values of its columns as texts."""
    named = table[list(by)].astype(str).groupby(list(by)).indices
    keys = [key if isinstance(key, tuple) else (key,) for key in named]
    return {tuple(map(str, key)): rows for key, rows in zip(keys, named.values(), strict=True)}

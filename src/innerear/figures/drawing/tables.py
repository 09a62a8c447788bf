"""Values that figures take from tables of results, and words for n and test."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from innerear.statistics.significance import ALPHA

MAX_LAYERS = 6


def rows_of(table: pd.DataFrame, **where: object) -> pd.DataFrame:
    """Return the rows with these values in these columns, or with one of those in a list."""
    keep = np.ones(len(table), bool)
    for column, value in where.items():
        values = table[column]
        keep &= values.isin(value).to_numpy() if isinstance(value, list) else values.to_numpy() == value
    return table.iloc[np.flatnonzero(keep)]


def distinct(table: pd.DataFrame, column: str) -> list:
    """Return a column's values in order of appearance, each once."""
    return list(dict.fromkeys(table[column].tolist()))


def spread_evenly(layers: Iterable[int], at_most: int = MAX_LAYERS) -> list[int]:
    """Choose at most so many layers, evenly, with the first and the last."""
    every = sorted(set(layers))
    if len(every) <= at_most:
        return every
    return [every[i] for i in np.linspace(0, len(every) - 1, at_most).round().astype(int)]


def largest(table: pd.DataFrame, share: float = 1.0, floor: float | None = None) -> float:
    """Return how far a scale of estimates must reach: to this quantile of their sizes; 1 if they are none.

    With a `floor`, smaller ones count as this.
    """
    values = table["estimate"].dropna().to_numpy(float)
    sizes = np.abs(values) if floor is None else np.maximum(values, floor)
    return float(np.quantile(sizes, share)) or 1.0 if len(sizes) else 1.0


def n_prompts(table: pd.DataFrame) -> str:
    """Say n, as `how_tested` does."""
    return f"n: {distinct(table, 'n_prompts')[0]} prompts"


def n_clips(samples: pd.DataFrame) -> str:
    """Say how many prompts, and seeds of a prompt, a sample sheet has."""
    prompts = samples["prompt_id"].nunique()
    seeds = len(samples) // max(prompts, 1)
    return f"n: {prompts} prompts × {seeds} seed{'s' * (seeds != 1)}"


def n_and_bands(table: pd.DataFrame, word: str = "bands") -> str:
    """Say n and what the bands of curves are, or what else is called by `word`."""
    return f"{n_prompts(table)}; {intervals(table, word)}"


def intervals(table: pd.DataFrame, word: str) -> str:
    """Say what of a figure shows the table's intervals (`word`), and of what these are."""
    found = [text for text in distinct(table, "interval") if text and not text.startswith("none: ")]
    return f"{word}: {', '.join(found) or 'none'}"


def why_not_tested(table: pd.DataFrame) -> str:
    """Return the most frequent reason in `null` why rows were not tested."""
    reasons = Counter(str(null).removeprefix("none: ") for null in table["null"])
    return reasons.most_common(1)[0][0]


def how_tested(table: pd.DataFrame, marked: str = f"hatched: p > {ALPHA}") -> str:
    """Say for a subtitle n, permutations, the smallest p, and over what the maximum was taken.

    `marked` says how the figure shows what is significant; "" if it does not.
    """
    tested, n = table.dropna(subset=["p_corrected"]), n_prompts(table)
    if tested.empty:
        return f"{n}; not tested ({why_not_tested(table)})"
    how = f"{n}; {span(tested, 'n_perm')} permutations, smallest p {span(tested, 'min_p', '.2g')}"
    return f"{how}; {marked} by max-T over {distinct(tested, 'family')[0]}" if marked else how


def span(table: pd.DataFrame, column: str, form: str = ".0f") -> str:
    """Write the smallest and the largest number of a column, or the one that all are.

    Examples
    --------
    >>> table = pd.DataFrame({"n_perm": [1000, 99], "min_p": [0.01, 0.01]})
    >>> span(table, "n_perm"), span(table, "min_p", ".2g")
    ('99 to 1000', '0.01')
    """
    values = table[column].to_numpy(float)
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in (np.nanmin(values), np.nanmax(values))))

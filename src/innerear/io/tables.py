"""Long-format tables as tab-separated text."""

from collections.abc import Hashable, Sequence
from os import PathLike

import pandas as pd

from innerear.errors import InputError
from innerear.io.files import atomic

# Columns read as text, even where values look like numbers: 007 is not 7.
_TEXT = ("sample_id", "prompt_id", "template", "emotion", "text", "sample", "reason", "null")


def write_table(table: pd.DataFrame, path: str | PathLike) -> None:
    """Write a table as tab-separated text; NaN becomes ``nan``, which differs from empty text.

    Raises
    ------
    InputError: p-values without a column ``p_corrected``: an uncorrected map is not a result.
    """
    if "p" in table and "p_corrected" not in table:
        raise InputError(f"{path}: a table with a column p needs p_corrected too; correct over the whole map")
    with atomic(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="nan")


def read_table(path: str | PathLike) -> pd.DataFrame:
    """Read a table written by `write_table`.

    Raises
    ------
    InputError: no such file.
    """
    text: dict[Hashable, type[str]] = dict.fromkeys(_TEXT, str)
    try:
        return pd.read_csv(path, sep="\t", keep_default_na=False, na_values=["nan"], dtype=text)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; make it with: snakemake --cores 1 {path}") from None


def read_tables(paths: str | Sequence[str]) -> pd.DataFrame:
    """Read one table, or several with the same columns as one.

    Raises
    ------
    InputError: no such file.
    """
    every = [paths] if isinstance(paths, str) else paths
    return pd.concat([read_table(path) for path in every], ignore_index=True)

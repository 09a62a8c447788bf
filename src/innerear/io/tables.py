"""Long-format tables as tab-separated text, which say what they were written as and carry their own hash.

The last column, `written_as`, holds both in its first row; of a table without rows, its name does. Readers
refuse a table that was changed by hand, or that lies under another table's name.
"""

import hashlib
import re
from collections.abc import Hashable, Sequence
from io import StringIO
from os import PathLike
from pathlib import Path

import pandas as pd

from innerear.errors import InputError
from innerear.io.files import atomic
from innerear.io.machine import cannot, file_size
from innerear.io.names import command, name_in_study, remake, require_name

# Columns read as text, even where values look like numbers: 007 is not 7.
_TEXT = (
    *("sample_id", "prompt_id", "template", "emotion", "text", "recording", "sample", "reason", "null"),
    *("content", "content_sha256", "tokens_sha256", "audio_sha256"),
)
_SEAL = "written_as"
_BLANK = "0" * 16
_DIGEST = re.compile(r"([^\t\n]*) sha256:([0-9a-f]{16})(?=[\n\r\t\"])")
_MAX_BYTES = 2**31


def write_table(table: pd.DataFrame, path: str | PathLike) -> None:
    """Write a table as tab-separated text; NaN becomes ``nan``, which differs from empty text.

    Raises
    ------
    InputError: p-values without a column ``p_corrected``: an uncorrected map is not a result.
    """
    if "p" in table and "p_corrected" not in table:
        raise InputError(f"{path}: a table with a column p needs p_corrected too; correct over the whole map")
    blank = f"{name_in_study(path)} sha256:{_BLANK}"
    if len(table):
        sealed = table.assign(**{_SEAL: [blank] + [""] * (len(table) - 1)})
    else:
        sealed = table.assign(**{f"{_SEAL} {blank}": ""})
    text = sealed.to_csv(sep="\t", index=False, na_rep="nan", lineterminator="\n")
    text = text.replace(f" sha256:{_BLANK}", f" sha256:{_digest(text)}", 1)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def read_table(path: str | PathLike) -> pd.DataFrame:
    """Read a table written by `write_table`.

    Raises
    ------
    InputError: no such file; a table that is not what was written under this name.
    """
    text = _text(path)
    found = _DIGEST.search(text)
    if found is None or _SEAL not in text.partition("\n")[0]:
        raise InputError(
            f"{path} is no table of this workflow, or has lost its column {_SEAL}; {remake(path)}"
        )
    if _digest(text[: found.start(2)] + _BLANK + text[found.end(2) :]) != found[2]:
        raise InputError(
            f"{path} has changed since it was written: a row, a cell or the name of a column; {remake(path)}"
        )
    require_name(path, found[1].removeprefix(f"{_SEAL} "), path)
    types: dict[Hashable, type[str]] = dict.fromkeys((*_TEXT, _SEAL), str)
    try:
        table = pd.read_csv(StringIO(text), sep="\t", keep_default_na=False, na_values=["nan"], dtype=types)
    except ValueError as error:
        raise InputError(f"{path} is no table ({error}); {remake(path)}") from None
    return table.drop(columns=table.columns[-1])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[: len(_BLANK)]


def _text(path: str | PathLike) -> str:
    try:
        if file_size(path) > _MAX_BYTES:
            raise InputError(
                f"{path} is larger than {_MAX_BYTES // 2**30} GiB, as no table is; {remake(path)}"
            )
        return Path(path).read_bytes().decode()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; make it with: {command(path)}") from None
    except OSError as error:
        raise InputError(cannot("read", path, error) or f"{path} cannot be read ({error})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8, as tables are; {remake(path)}") from None


def read_tables(paths: str | Sequence[str]) -> pd.DataFrame:
    """Read one table, or several with the same columns as one.

    Raises
    ------
    InputError: no such file.
    """
    every = [paths] if isinstance(paths, str) else paths
    return pd.concat([read_table(path) for path in every], ignore_index=True)

"""Read a sheet: a tab-separated table as people and spreadsheet programs write it."""

import codecs
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from innerear.errors import InputError, did_you_mean, shown
from innerear.study.names import check_characters

MAX_BYTES, MAX_COLUMNS = 16 * 2**20, 100

# The longer marks first: UTF-32's begins with UTF-16's.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LINE_END = re.compile("\r\n|\r|\n")
# A cell as a spreadsheet program writes it if it holds a comma or a quote.
_QUOTED = re.compile(r'"(?=.*(?:,|""))(?:[^"]|"")*"')


def read_sheet(
    path: str | PathLike, needed: Sequence[str], known: Sequence[str], most: int
) -> dict[int, dict[str, str]]:
    """Return the rows of a tab-separated sheet: number of the row in the file → column → text.

    UTF-8, UTF-16 and any line end are read, with or without a byte order mark where the encoding allows.
    White space around a cell is cut off, rows of empty cells are left out, and quotes are letters.

    Parameters
    ----------
    needed, known : columns that must be there, and all that may be.
    most : the most rows.

    Raises
    ------
    InputError: a file that cannot be read, or is larger than `MAX_BYTES`; columns that are missing, unknown
        or there twice; a row with another number of cells, with control characters, or quoted by a program.
    """
    text = _text(path)
    if text.count("\n") + text.count("\r") > 4 * most:
        raise InputError(f"{str(path)!r} has more than {most:,} rows; split the study")
    lines = _LINE_END.split(text)
    if lines[0].count("\t") >= MAX_COLUMNS:
        raise InputError(f"{path}, row 1: more than {MAX_COLUMNS} columns; the sheet has {', '.join(known)}")
    columns = [name.strip() for name in lines[0].split("\t")]
    _check_columns(columns, needed, known, path)
    rows = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        if len(rows) == most:
            raise InputError(f"{str(path)!r} has more than {most:,} rows; split the study")
        rows[number] = _cells(line, columns, f"{path}, row {number}")
    return rows


def _text(path: str | PathLike) -> str:
    """Return the text of a sheet, whatever of the encodings it is written in."""
    try:
        if not Path(path).is_file():
            there = "is no file" if Path(path).exists() else "does not exist"
            raise InputError(f"prompts.sheet: cannot read {str(path)!r}, which {there}")
        if Path(path).stat().st_size > MAX_BYTES:
            raise InputError(f"{str(path)!r} is larger than {MAX_BYTES // 2**20} MiB, which no sheet needs")
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"prompts.sheet: cannot read {str(path)!r} ({error.strerror})") from error
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, row {row}: a byte that is no {encoding.upper().removesuffix('-SIG')}; save the sheet "
            "as UTF-8 (in Excel: Unicode text)"
        ) from None
    if not text.strip():
        raise InputError(f"{str(path)!r} is empty; its first row names the columns")
    return text


def _check_columns(
    columns: Sequence[str], needed: Sequence[str], known: Sequence[str], path: str | PathLike
) -> None:
    for name in columns:
        check_characters(name, f"{path}, row 1")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    missing = [name for name in needed if name not in columns]
    unknown = [name for name in columns if name not in known]
    if twice and not unknown:
        raise InputError(f"{path}, row 1: the columns {twice} are there twice; keep one of each")
    if missing or unknown:
        meant = "".join(did_you_mean(name, known) for name in unknown[:3])
        raise InputError(
            f"{path}: missing columns {missing}, unknown columns {shown(unknown)}{meant}; the sheet is "
            f"tab-separated with the columns {', '.join(known)} (all but the first {len(needed)} "
            "may be left out); another one is read if contrast names it"
        )


def _cells(line: str, columns: Sequence[str], where: str) -> dict[str, str]:
    check_characters(line, where)
    n_cells = line.count("\t") + 1
    if n_cells != len(columns):
        raise InputError(
            f"{where} has {n_cells} cells, but row 1 names {len(columns)} columns; give each column a cell, "
            "an empty one if need be, with a tab between two"
        )
    cells = [cell.strip() for cell in line.split("\t")]
    for cell in cells:
        if _QUOTED.fullmatch(cell):
            raise InputError(
                f"{where}: {shown(cell)} is quoted as spreadsheet programs do it, but quotes are letters "
                'here; remove the outer quotes, and write "" as "'
            )
    return dict(zip(columns, cells, strict=True))

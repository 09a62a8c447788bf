"""One table of measurements, printed as it grows and kept as TSV."""

import math
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One measurement; `value` is a number, or text where nothing is measured."""

    section: str
    what: str
    value: float | str
    unit: str
    baseline: str


_WIDTHS = (10, 46, 12, 14)


class Table:
    """Rows, printed one by one.

    Parameters
    ----------
    path : of the TSV, written anew after each row, so that a run that is stopped leaves what it has.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.rows: list[Row] = []
        self._path, self._section = path, ""
        print(_line(Row._fields))
        print("-" * 110)

    def add(self, what: str, value: float | str, unit: str = "", baseline: str = "") -> None:
        """Print a row of the section and keep it."""
        row = Row(self._section, what, value, unit, baseline)
        self.rows.append(row)
        print(_line((row.section, what, _written(value), unit, baseline)), flush=True)
        if self._path:
            lines = ["\t".join(Row._fields), *("\t".join(map(str, row)) for row in self.rows)]
            self._path.write_text("\n".join(lines) + "\n", "utf-8")

    def guarded(self, section: str, measure: Callable[[], None]) -> None:
        """Run a section; one that fails leaves one row with its reason, and the others still run."""
        self._section = section
        try:
            measure()
        except Exception as error:
            traceback.print_exc(limit=-5)
            reason = " ".join(str(error).split())[:200]
            self.add("failed", type(error).__name__, "", reason)


def _written(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2e}" if value and math.isfinite(value) and abs(value) < 0.01 else f"{value:.4g}"


def _line(fields: tuple[str, ...]) -> str:
    *columns, last = fields
    return " ".join(one.ljust(width) for one, width in zip(columns, _WIDTHS, strict=True)) + " " + last

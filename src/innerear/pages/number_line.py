"""An effect on a number line: its estimate, interval and controls, and the value of no effect."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from innerear.pages.answers import number_text
from innerear.pages.templates import fill
from innerear.statistics.finding import Unit

WIDTH, HEIGHT, MARGIN = 320, 64, 14
_ROUND = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


def number_line(
    unit: Unit | None, row: Mapping[str, Any], label: str, controls: Sequence[tuple[str, float | None]] = ()
) -> Markup:
    """Draw the effect of a row of findings as SVG; nothing where there is no number.

    Parameters
    ----------
    unit, row : its unit, and its estimate, ci_lo, ci_hi and chance.
    label : the same in words.
    controls : names and estimates.
    """
    known = [row[name] for name in ("estimate", "ci_lo", "ci_hi", "chance")]
    known += [value for _, value in controls]
    known = [float(value) for value in known if value is not None and np.isfinite(value)]
    if unit is None or row["estimate"] is None or not np.isfinite(row["estimate"]):
        return Markup("")
    low, high = _ends(known, unit.most)

    def at(value: Any) -> str:
        return f"{MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / (high - low):.1f}"

    ends = [(value, number_text(unit, value)) for value in (low, high)]
    has_interval = row["ci_lo"] is not None and np.isfinite(row["ci_lo"])
    drawn = fill(
        "number_line.svg",
        width=WIDTH,
        height=HEIGHT,
        margin=MARGIN,
        label=label,
        ends=[(at(value), text.lstrip("+")) for value, text in ends],
        interval=(at(row["ci_lo"]), at(row["ci_hi"])) if has_interval else None,
        estimate=(at(row["estimate"]), number_text(unit, row["estimate"])),
        chance=None if row["chance"] is None else at(row["chance"]),
        controls=[(name, at(value)) for name, value in controls if value is not None and np.isfinite(value)],
    )
    return Markup(drawn)


def _ends(values: Sequence[float], most: float) -> tuple[float, float]:
    """Return round ends of a line that holds values, from 0 unless some are negative; to 1 if all are 0.

    Examples
    --------
    >>> _ends([0.0, 1.03, 1.15], np.inf), _ends([0.9, 0.25], 1)
    ((0.0, 1.5), (0.0, 1.0))
    """
    low, high = min(0.0, *values), max(0.0, *values) if any(values) else 1.0
    return 0.0 - _rounded_up(-low), min(_rounded_up(high), most) if high <= most else _rounded_up(high)


def _rounded_up(value: float) -> float:
    if value <= 0:
        return 0.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * next(one for one in _ROUND if one * power >= value * (1 - 1e-9)))

"""Grids of panels, the form of most figures, and the curves, bands and points that stand in them."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.typing import ColorType as Colour

from innerear.figures.drawing.maps import Steps
from innerear.figures.drawing.style import BRANCHES, legend_below, new_figure, step_axis
from innerear.figures.drawing.tables import spread_evenly, why_not_tested
from innerear.statistics.significance import ALPHA


class Grid:
    """A figure with rows and columns of panels for the values of two columns of a table.

    Iterating gives each panel with its column → value, for `rows_of`.

    Parameters
    ----------
    title, subtitle, panel, shared : see `new_figure`. Panels share x, and y along each row, unless said.
    rows, columns : the table's column → its values. Without values there is one empty panel.
    sides, tops : texts beside the rows and above the columns (branches are explained there), or one text with
        braces for the value.

    Attributes
    ----------
    figure, axes : [rows, columns] of panels.
    """

    def __init__(
        self,
        title: str,
        subtitle: str,
        rows: Mapping[str, Sequence],
        columns: Mapping[str, Sequence],
        *,
        panel: tuple[float, float],
        sides: str | Sequence[str] = "{}",
        tops: str | Sequence[str] = "{}",
        **shared,
    ) -> None:
        self._rows, self._columns = (
            [{name: value} for name, values in one.items() for value in values] for one in (rows, columns)
        )
        size, look = (
            (len(self._rows) or 1, len(self._columns) or 1),
            {"sharex": True, "sharey": "row"} | shared,
        )
        self.figure, self.axes = new_figure(*size, title=title, subtitle=subtitle, panel=panel, **look)
        for axes, top in zip(self.axes[0], _texts(tops, self._columns), strict=False):
            axes.set_title(BRANCHES.get(top, top))
        for axes, side in zip(self.axes[:, 0], _texts(sides, self._rows), strict=False):
            axes.set_ylabel(side)

    def __iter__(self) -> Iterator[tuple[Axes, dict]]:
        for row, panels in zip(self._rows, self.axes, strict=False):
            for column, panel in zip(self._columns, panels, strict=False):
                yield panel, row | column

    def name_x(self, name: str, ticks: Sequence[int] | None = None) -> None:
        """Name the x axis below the grid, with at most twelve of `ticks`."""
        for panel in self.axes[-1]:
            panel.set_xlabel(name)
            if ticks is not None:
                panel.set_xticks(spread_evenly(ticks, 12))

    def step_axis(self, steps: Steps) -> None:
        """Let x be steps, named below the grid, and seconds above it."""
        for row, panels in enumerate(self.axes):
            ends = {"bottom": row == len(self.axes) - 1, "top": row == 0}
            for panel in panels:
                step_axis(panel, steps.seconds, steps.complete, **ends)

    def zero(self, value: float = 0, row: int | slice = slice(None)) -> None:
        """Draw a thin line at a height in the panels of a row, or of all."""
        for panel in self.axes[row].flat:
            panel.axhline(value, color="0.6", linewidth=0.6, zorder=0)

    def legend(self, columns: int) -> None:
        """Explain below the grid what has a label in any panel."""
        handles = {}
        for panel in self.axes.flat:
            handles |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
        if handles:
            legend_below(self.figure, list(handles.values()), columns)

    def bar(
        self, label: str, row: int | slice = slice(None), of: ScalarMappable | None = None, **look
    ) -> None:
        """Explain the colours of a row or of all panels: those of their images unless said."""
        images = [image for panel in self.axes[row].flat for image in panel.images] if of is None else [of]
        if images:
            self.figure.colorbar(images[0], ax=self.axes[row], label=label, pad=0.01, **look)


def _texts(form: str | Sequence[str], keys: Sequence[dict]) -> Sequence[str]:
    return [form.format(*key.values()) for key in keys] if isinstance(form, str) else form


def draw_band(
    axes: Axes,
    rows: pd.DataFrame,
    along: str,
    colour: Colour,
    dashes: str = "-",
    label: str = "",
    ends: tuple[str, str] = ("ci_lo", "ci_hi"),
) -> None:
    """Draw the estimates of `rows` along a column, over a band between the columns `ends`."""
    rows = rows.sort_values(along)
    x, estimate, low, high = (rows[name].to_numpy(float) for name in (along, "estimate", *ends))
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, estimate, dashes, color=colour, linewidth=0.9, label=label or None)


def draw_points(
    axes: Axes,
    rows: pd.DataFrame,
    along: str,
    colour: Colour,
    *,
    shift: float = 0,
    label: str = "",
    bars: bool = False,
    hollow: bool = True,
) -> None:
    """Draw the estimates of `rows` along a column as points, with `bars` with their intervals.

    With `hollow`, only those are filled that are significant after correction.
    """
    x = rows[along].to_numpy(float) + shift
    if bars:
        # Wider than a point, as they may be shorter.
        axes.vlines(x, rows["ci_lo"], rows["ci_hi"], color=colour, linewidth=5, alpha=0.4)
    filled = np.where((rows["p_corrected"].to_numpy(float) <= ALPHA) | (not hollow), colour, "white")
    axes.scatter(
        x, rows["estimate"].to_numpy(float), s=8 if bars else 16, c=filled, edgecolors=colour, zorder=3
    )
    if label:
        axes.plot([], [], "o", color=colour, markersize=3.5, label=label)


def say(axes: Axes, text: str, x: float = 0.5, y: float = 0.5, **look) -> None:
    """Write on a panel at a place in units of the panel; in its middle unless said."""
    usual = {"transform": axes.transAxes, "ha": "center", "va": "center", "fontsize": 8}
    axes.text(x, y, text, **usual | look)


def say_why_not(axes: Axes, rows: pd.DataFrame, width: int, **look) -> bool:
    """If there are no estimates, write on the panel why, in lines of so many letters; return whether so."""
    nothing = rows["estimate"].isna().to_numpy().all()
    if nothing:
        say(axes, textwrap.fill(why_not_tested(rows), width), **look)
    return bool(nothing)

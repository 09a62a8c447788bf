"""Maps of layers × steps, the form that most results of a study take."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.typing import ColorType as Colour

from innerear.figures.style import BRANCHES, step_axis, styled
from innerear.statistics.significance import ALPHA

MAX_LAYERS = 6


@dataclass(frozen=True)
class Steps:
    """The step axis of a study: seconds [S] and bool complete [S]."""

    seconds: np.ndarray
    complete: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Steps":
        """Recover the axis from rows of complete steps, or groups of them: as many pads follow as lead."""
        times = dict(zip(table["step"].tolist(), table["seconds"].tolist(), strict=True))
        step, second = np.array(list(times), int), np.array(list(times.values()), float)
        group = group_of(step)
        n_steps = step.max() + group + step.min()
        slope, start = np.polyfit(step + (group - 1) / 2, second, 1) if len(step) > 1 else (0.0, second[0])
        every = np.arange(n_steps)
        return cls(start + slope * every, np.isin(every, step[:, None] + np.arange(group)))


def group_of(steps: np.ndarray) -> int:
    """Return how many steps a row stands for: the distance of the steps that are there."""
    different = np.unique(steps)
    return int(np.diff(different).min()) if len(different) > 1 else 1


def rows_of(table: pd.DataFrame, **where: object) -> pd.DataFrame:
    """Return the rows whose columns have these values."""
    keep = np.ones(len(table), bool)
    for column, value in where.items():
        keep &= table[column].to_numpy() == value
    return table.iloc[np.flatnonzero(keep)]


def distinct(table: pd.DataFrame, column: str) -> list:
    """Return a column's values in order of appearance, each once."""
    return list(dict.fromkeys(table[column].tolist()))


def why_not_tested(table: pd.DataFrame) -> str:
    """Return the most frequent reason in `null` why rows were not tested."""
    reasons = Counter(str(null).removeprefix("none: ") for null in table["null"])
    return reasons.most_common(1)[0][0]


def how_tested(table: pd.DataFrame, marked: str = f"hatched: p > {ALPHA}") -> str:
    """Say for a subtitle n, permutations, the smallest p, and over what the maximum was taken.

    Parameters
    ----------
    marked : how the figure shows what is significant; "" if it does not.
    """
    tested = table.iloc[np.flatnonzero(np.isfinite(table["p_corrected"].to_numpy(float)))]
    n = f"n: {distinct(table, 'n_prompts')[0]} prompts"
    if tested.empty:
        return f"{n}; not tested ({why_not_tested(table)})"
    how = f"{n}; {distinct(tested, 'n_perm')[0]} permutations, smallest p {distinct(tested, 'min_p')[0]:.2g}"
    return f"{how}; {marked} by max-T over {distinct(tested, 'family')[0]}" if marked else how


def spread_evenly(layers: Sequence[int], at_most: int) -> list[int]:
    """Choose at most so many layers, evenly, with the first and the last."""
    every = sorted(set(layers))
    if len(every) <= at_most:
        return every
    return [every[i] for i in np.linspace(0, len(every) - 1, at_most).round().astype(int)]


def by_layer_and_step(table: pd.DataFrame, column: str, layers: Sequence[int], steps: Steps) -> np.ndarray:
    """Lay a column out as [L, S]; NaN where there is no row."""
    values = np.full((len(layers), len(steps.complete)), np.nan)
    row = {layer: i for i, layer in enumerate(layers)}
    rows, first = [row[layer] for layer in table["layer"].tolist()], table["step"].to_numpy(int)
    for step in range(group_of(first)):
        values[rows, first + step] = table[column].to_numpy(float)
    return values


def name_grid(axes: np.ndarray, titles: Sequence[str], sides: Sequence[str]) -> None:
    """Write a title (a branch's name is explained) above each column of axes, and a label at each row."""
    for panel, title in zip(axes[0], titles, strict=False):
        panel.set_title(BRANCHES.get(title, title))
    for panel, side in zip(axes[:, 0], sides, strict=False):
        panel.set_ylabel(side)


def draw_band(
    axes: Axes, x: np.ndarray, rows: pd.DataFrame, colour: Colour, dashes: str = "-", label: str = ""
) -> None:
    """Draw the estimates of `rows` along x, over a band of their intervals."""
    low, high = rows["ci_lo"].to_numpy(float), rows["ci_hi"].to_numpy(float)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    estimate = rows["estimate"].to_numpy(float)
    axes.plot(x, estimate, dashes, color=colour, linewidth=0.9, label=label or None)


def draw_points(axes: Axes, x: np.ndarray, rows: pd.DataFrame, colour: Colour) -> None:
    """Draw the estimates of `rows` at x as points, filled where significant after correction."""
    filled = np.where(rows["p_corrected"].to_numpy(float) <= ALPHA, colour, "white")
    axes.scatter(x, rows["estimate"].to_numpy(float), s=16, c=filled, edgecolors=colour, zorder=3)


def draw_map_row(
    axes: np.ndarray,
    table: pd.DataFrame,
    branches: Sequence[str],
    steps: Steps,
    *,
    limits: tuple[float, float],
    colours: str,
    outer: tuple[bool, bool],
) -> ScalarMappable | None:
    """Draw a map of estimates, layer × step, of each branch; returns what a colour bar explains.

    Parameters
    ----------
    axes : [branches].
    table : rows of one statistic.
    limits, colours : see `draw_map`.
    outer : whether to label the bottom and the top.
    """
    layers, image = sorted(distinct(table, "layer")), None
    for panel, branch in zip(axes, branches, strict=True):
        rows = rows_of(table, branch=branch)
        values, p = (by_layer_and_step(rows, name, layers, steps) for name in ("estimate", "p_corrected"))
        sides = (panel is axes[0], *outer)
        image = draw_map(panel, values, layers, steps, limits=limits, colours=colours, p=p, outer=sides)
    return image


@styled
def draw_map(
    axes: Axes,
    values: np.ndarray,
    layers: Sequence[int],
    steps: Steps,
    *,
    limits: tuple[float, float],
    colours: str,
    p: np.ndarray | None = None,
    outer: tuple[bool, bool, bool] = (True, True, True),
) -> ScalarMappable:
    """Draw a map [L, S], lowest layer at the bottom.

    Parameters
    ----------
    limits : values at the ends of the colour map `colours`.
    p : [L, S], corrected; NaN where not tested. Cells of at most `ALPHA` are outlined, the others hatched.
    outer : whether to label the left, the bottom and the top, for panels in a grid.
    """
    image = axes.imshow(
        values,
        aspect="auto",
        origin="lower",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
    )
    if p is not None:
        _mark(axes, p)
    shown = spread_evenly(range(len(layers)), 12)
    axes.set_yticks(shown, [str(layers[i]) for i in shown] if outer[0] else [""] * len(shown))
    if outer[0]:
        axes.set_ylabel("layer")
    step_axis(axes, steps.seconds, steps.complete, bottom=outer[1], top=outer[2])
    return image


def _mark(axes: Axes, p: np.ndarray) -> None:
    """Outline the cells [L, S] that are significant, and hatch those that are not."""
    # A contour runs through cell centres; repeated rows make it follow the rows' edges.
    fine, (n_layers, n_steps) = 16, p.shape
    rows = np.r_[-0.5, (np.arange(n_layers * fine) + 0.5) / fine - 0.5, n_layers - 0.5]

    def smooth(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        padded = np.pad(np.repeat(cells, fine, axis=0).astype(float), ((1, 1), (0, 0)))
        return np.arange(n_steps), rows, padded

    if (p <= ALPHA).any():
        axes.contour(*smooth(p <= ALPHA), levels=[0.5], colors="black", linewidths=0.8)
    if (p > ALPHA).any():
        hatched = axes.contourf(*smooth(p > ALPHA), levels=[0.5, 1.5], colors="none", hatches=["////"])
        hatched.set(edgecolor="0.4", linewidth=0)

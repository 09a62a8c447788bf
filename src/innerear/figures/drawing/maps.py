"""Maps of layers × steps, the form that most results of a study take."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from innerear.figures.drawing.style import styled
from innerear.figures.drawing.tables import spread_evenly
from innerear.statistics.significance import ALPHA


@dataclass(frozen=True)
class Steps:
    """The step axis of a study: seconds [S] and bool complete [S]."""

    seconds: np.ndarray
    complete: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Steps":
        """Recover the axis from rows of complete steps, or groups of them: as many pads follow as lead."""
        times = table.drop_duplicates("step").sort_values("step")
        step, second = times["step"].to_numpy(int), times["seconds"].to_numpy(float)
        last = group = _group(step)
        if len(step) > 2:
            # The mean of the last steps' seconds comes sooner where they are fewer.
            far = 2 * group * (second[-1] - second[-2]) / np.median(np.diff(second[:-1]))
            last = int(np.clip(round(far) - group, 1, group))
        middle = step + (group - 1) / 2
        middle[-1] = step[-1] + (last - 1) / 2
        slope, start = np.polyfit(middle, second, 1) if len(step) > 1 else (0.0, second[0])
        stop = step[-1] + last
        every = np.arange(stop + step[0])
        complete = np.isin(every, step[:, None] + np.arange(group)) & (every < stop)
        return cls(start + slope * every, complete)


def _group(steps: np.ndarray) -> int:
    """Return how many steps a row stands for: the distance of the steps that are there."""
    different = np.unique(steps)
    return int(np.diff(different).min()) if len(different) > 1 else 1


def by_layer_and_step(table: pd.DataFrame, column: str, layers: Sequence[int], steps: Steps) -> np.ndarray:
    """Lay a column out as [L, S]; NaN where there is no row."""
    rows, first = pd.Index(layers).get_indexer(table["layer"].tolist()), table["step"].to_numpy(int)
    group, n_steps = _group(first), len(steps.complete)
    values = np.full((len(layers), n_steps + group), np.nan)
    for step in range(group):
        values[rows, first + step] = table[column].to_numpy(float)
    return np.where(steps.complete, values[:, :n_steps], np.nan)


def draw_estimates(
    axes: Axes,
    rows: pd.DataFrame,
    layers: Sequence[int],
    steps: Steps,
    limits: tuple[float, float],
    colours: str,
) -> ScalarMappable:
    """Draw the map of the estimates of rows, with what is significant; see `draw_map`."""
    values, p = (by_layer_and_step(rows, name, layers, steps) for name in ("estimate", "p_corrected"))
    return draw_map(axes, values, layers, limits, colours, p)


@styled
def draw_map(
    axes: Axes,
    values: np.ndarray,
    layers: Sequence[int],
    limits: tuple[float, float],
    colours: str,
    p: np.ndarray | None = None,
) -> ScalarMappable:
    """Draw a map [L, S], lowest layer at the bottom.

    Parameters
    ----------
    limits : values at the ends of the colour map `colours`.
    p : [L, S], corrected; NaN where not tested. Cells of at most `ALPHA` are outlined, the others hatched.
    """
    image = axes.imshow(values, colours, aspect="auto", interpolation="nearest", origin="lower")
    low, high = limits
    image.set_clim(low, high if high > low else low + 1)  # one scale for all panels, also of equal values
    if p is not None:
        _mark(axes, p)
    shown = spread_evenly(range(len(layers)), 12)
    axes.set_yticks(shown, [str(layers[i]) for i in shown])
    return image


def _mark(axes: Axes, p: np.ndarray) -> None:
    """Outline the cells [L, S] that are significant, and hatch those that are not."""
    # A contour runs through cell centres; repeated rows make it follow the rows' edges. At the ends of the
    # map it turns at the edge: there is nothing beyond.
    fine, (n_layers, n_steps) = 16, p.shape
    rows = np.r_[-0.5, (np.arange(n_layers * fine) + 0.5) / fine - 0.5, n_layers - 0.5]
    columns = np.r_[-0.5, -0.49, np.arange(n_steps), n_steps - 0.51, n_steps - 0.5]

    def smooth(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        wide = np.pad(np.repeat(cells, fine, axis=0).astype(float), ((0, 0), (1, 1)), mode="edge")
        return columns, rows, np.pad(wide, 1)

    if (p <= ALPHA).any():
        axes.contour(*smooth(p <= ALPHA), levels=[0.5], colors="black", linewidths=0.8)
    if (p > ALPHA).any():
        hatched = axes.contourf(*smooth(p > ALPHA), levels=[0.5, 1.5], colors="none", hatches=["////"])
        hatched.set(edgecolor="0.4", linewidth=0)

"""The look of every figure: sizes, colours, titles, the time axis, and how a figure is saved."""

import os
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine
from matplotlib.lines import Line2D
from matplotlib.text import Text
from pandas.api.types import is_numeric_dtype

from innerear.io.files import atomic

SEQUENTIAL = "cividis"
DIVERGING = "RdBu_r"
PAD_COLOUR = "0.9"
BRANCHES = MappingProxyType(
    {"cond": "cond (reads the text)", "uncond": "uncond (reads no text)", "delta": "delta (cond − uncond)"}
)
# Okabe & Ito's palette, distinct under the common colour-vision deficiencies. The four default emotions have
# fixed colours, which a reader learns once for all figures.
_EMOTIONS = {"happy": "#E69F00", "sad": "#0072B2", "calm": "#009E73", "energetic": "#D55E00"}
_OTHERS = ("#CC79A7", "#56B4E9", "#000000", "#F0E442")
#: from Paul Tol's muted scheme: distinct from each other and from the emotions
BRANCH_COLOURS = MappingProxyType({"cond": "#332288", "uncond": "#999933", "delta": "#882255"})
_MARKERS = "osD^vPX*<>hp"
#: of names: in a legend, beside an axis
LETTERS_OF_A_LINE, LETTERS_OF_A_TICK = 40, 20
#: height of a panel in inches
LEAST_PANEL = 0.6

_RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "innerear",
    "savefig.dpi": 150,
    "font.family": "DejaVu Sans",
}

# Decorates every function that draws: it leaves the settings of a reader's own notebook alone.
styled = matplotlib.rc_context(_RC)


@styled
def new_figure(
    rows: int = 1,
    columns: int = 1,
    *,
    title: str = "",
    subtitle: str = "",
    panel: tuple[float, float] = (3.2, 2.4),
    **subplots,
) -> tuple[Figure, np.ndarray]:
    """Make a figure with a grid of axes, always [rows, columns], and no global state.

    Parameters
    ----------
    title, subtitle : first line: what is shown, and of which model; second: n, permutations, how to read it.
    panel : width and height of one panel in inches.
    subplots : further arguments of `Figure.subplots`, such as ``sharex=True``.
    """
    size = (max(panel[0] * columns, 4.2), panel[1] * rows + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **subplots)
    if title:
        text = figure.suptitle("\n".join(filter(None, (title, subtitle))), fontsize=10)
        take_dollars_as_letters(figure)
        height = text.get_window_extent().height
        text.set_wrap(True)
        _make_room(figure, text.get_window_extent().height - height)
    return figure, axes


def palette(labels: Sequence[str]) -> dict[str, str]:
    """Give each distinct label a colour: fixed for the default emotions, cycled for all others."""
    distinct = list(dict.fromkeys(labels))
    others = [label for label in distinct if label not in _EMOTIONS]
    # With no default emotion among the labels their colours are free to use.
    free = _OTHERS if len(others) < len(distinct) else (*_EMOTIONS.values(), *_OTHERS)
    colours = {label: free[i % len(free)] for i, label in enumerate(others)}
    return {label: _EMOTIONS.get(label) or colours[label] for label in distinct}


class LabelColours:
    """The colour of each label [N] of a contrast: distinct ones for names, a scale for ratings.

    Attributes
    ----------
    colours : RGBA [N, 4]; named : label -> colour, empty for ratings.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self._scale, self.named = None, {}
        if is_numeric_dtype(labels):
            ratings = labels.astype(float)
            self._scale = ScalarMappable(Normalize(ratings.min(), ratings.max()), SEQUENTIAL)
            self.colours = self._scale.to_rgba(ratings)
        else:
            names = [str(label) for label in labels]
            self.named = palette(names)
            self.colours = to_rgba_array([self.named[name] for name in names])

    def explain(
        self, figure: Figure, axes: np.ndarray, contrast: str, others: Sequence[Line2D] = (), **line: Any
    ) -> None:
        """Add the legend of labels, with `others` as further entries, or the scale of ratings."""
        style = {"marker": "", "linestyle": "-"} | line if line else {}
        named = [dot(name, color=colour, **style) for name, colour in self.named.items()]
        entries = [*named, *others]
        if self._scale is not None:
            figure.colorbar(self._scale, ax=axes, label=contrast, shrink=0.6, pad=0.01)
        if entries:
            legend_below(figure, entries, 9)


def legend_below(figure: Figure, entries: Sequence[Artist], columns: int, **look: Any) -> None:
    """Explain `entries` below the panels, in at most so many columns; long names take several lines."""
    names = [textwrap.fill(str(entry.get_label()), LETTERS_OF_A_LINE) for entry in entries]
    heights = []
    for n in range(min(len(entries), columns), 0, -1):
        legend = figure.legend(entries, names, loc="outside lower center", ncols=n, **look)
        take_dollars_as_letters(figure)
        heights.append(legend.get_window_extent().height)
        if n == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    _make_room(figure, heights[-1] - heights[0])


def _make_room(figure: Figure, pixels: float) -> None:
    """Make a figure higher, so that more lines of text do not take the panels' place."""
    figure.set_figheight(figure.get_figheight() + pixels / figure.dpi)


def take_dollars_as_letters(figure: Figure) -> None:
    """Write names with $ as they stand: Matplotlib takes what lies between two for a formula."""
    for text in figure.findobj(Text):
        # The powers beside its logarithmic axes are formulas.
        if isinstance(text, Text) and "$" in text.get_text() and "mathdefault" not in text.get_text():
            text.set_parse_math(False)


def short(name: str) -> str:
    """Leave out the middle of a long name, where it stands beside an axis.

    Examples
    --------
    >>> short("happy"), short("music that is happy and yet a little sad")
    ('happy', 'music that…little sad')
    """
    half = LETTERS_OF_A_TICK // 2
    return name if len(name) <= LETTERS_OF_A_TICK else f"{name[:half].rstrip()}…{name[-half:].lstrip()}"


def dot(label: str, **look) -> Line2D:
    """Return an entry of a legend, a grey dot unless `look` says else."""
    style: dict[str, Any] = {"marker": "o", "linestyle": "", "color": "0.4"}
    return Line2D([], [], label=label, **style | look)


def markers(labels: Sequence[str]) -> dict[str, str]:
    """Give each distinct label (a template, say) a marker of its own, cycled after twelve."""
    return {label: _MARKERS[i % len(_MARKERS)] for i, label in enumerate(dict.fromkeys(labels))}


@styled
def step_axis(
    axes: Axes, seconds: np.ndarray, complete: np.ndarray, *, top: bool = True, bottom: bool = True
) -> None:
    """Label an x axis of steps from 0 in steps (`bottom`) and seconds (`top`), and draw pads grey.

    `seconds` [S] are the starts of each step's newest frame; `complete` [S] is False at the padded first and
    last steps.
    """
    n_steps = len(complete)
    axes.set_xlim(-0.5, n_steps - 0.5)
    edges = np.flatnonzero(np.diff(np.r_[True, complete, True]))
    for start, stop in edges.reshape(-1, 2):
        axes.axvspan(start - 0.5, stop - 0.5, color=PAD_COLOUR, zorder=3, linewidth=0)
    if bottom:
        axes.set_xlabel("step")
    if top and n_steps > 1:
        rate = (n_steps - 1) / float(seconds[-1] - seconds[0])
        offset = float(seconds[0])
        above = axes.secondary_xaxis(
            "top",
            functions=(lambda s: np.asarray(s) / rate + offset, lambda t: (np.asarray(t) - offset) * rate),
        )
        above.set_xlabel("seconds")


def _lay_out(figure: Figure, layout: LayoutEngine) -> None:
    """Solve the layout, and make the figure higher while a panel is squashed.

    Titles, axes and legends take as much of a figure of one row as of one of many.
    """
    specs = [(one, spec.get_gridspec().nrows) for one in figure.axes if (spec := one.get_subplotspec())]
    for _ in range(5):
        with warnings.catch_warnings(record=True) as collapsed:
            warnings.simplefilter("always")
            layout.execute(figure)
        shares = [0.0] if collapsed else [one.get_position(original=True).height for one, _ in specs]
        missing = LEAST_PANEL * figure.dpi - min(shares, default=1) * figure.bbox.height
        if missing < 1 or not specs:
            return
        _make_room(figure, missing * max(rows for _, rows in specs))


@styled
def save(figure: Figure, *paths: str | os.PathLike) -> None:
    """Write the figure to each path, as SVG or PNG by its suffix.

    The files hold no date: equal input gives equal bytes.
    """
    dpi = matplotlib.rcParams["savefig.dpi"]
    figure.set_dpi(dpi)  # text is not equally wide at every resolution
    take_dollars_as_letters(figure)
    # Solve the layout once and draw each format once; `Figure.savefig` draws each of them twice.
    layout = figure.get_layout_engine()
    if layout is not None:
        _lay_out(figure, layout)
    figure.set_layout_engine("none")
    for path in map(Path, paths):
        figure.set_dpi(dpi)  # an SVG sets its own
        with atomic(path) as temporary:
            if path.suffix == ".svg":
                FigureCanvasSVG(figure).print_svg(temporary, metadata={"Date": None})
            else:
                FigureCanvasAgg(figure).print_png(temporary)

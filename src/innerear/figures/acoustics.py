"""What the clips sound like, by emotion."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from innerear.figures.maps import distinct, rows_of
from innerear.figures.style import caption_counts, markers, new_figure, palette, styled

SHOWN = (
    "tempo",
    "onset_rate",
    "pulse_clarity",
    "loudness",
    "crest_factor",
    "majorness",
    "register",
    "centroid",
    "flatness",
    "flux",
    "onset_strength",
    "harmonic_percussive",
)
COLUMNS = 4
MAX_TEMPLATES_NAMED = 8


@styled
def features_by_emotion(
    clips: pd.DataFrame, samples: pd.DataFrame, *, model: str, features: Sequence[str] = SHOWN
) -> Figure:
    """Draw clip features by emotion: clips small, prompt means large.

    Parameters
    ----------
    clips : long table of clip features: sample_id, feature, unit, value, valid.
    samples : the index, in whose order emotions and templates stand: sample_id, prompt_id,
        template, emotion, seed.
    model : for the title.
    features : which to draw; those that `clips` lacks are left out.

    Returns
    -------
    One panel per feature. Under an emotion stands how many clips have no value, if any.
    """
    table = clips.merge(samples[["sample_id", "prompt_id", "template", "emotion", "seed"]], on="sample_id")
    present = [name for name in features if name in set(table["feature"])]
    rows = -(-len(present) // COLUMNS)
    counts = {
        "prompts": samples["prompt_id"].nunique(),
        "seeds": samples["seed"].nunique(),
        "clips": len(samples),
    }
    figure, axes = new_figure(
        rows,
        COLUMNS,
        title=f"What the clips sound like, {model}",
        subtitle=caption_counts(counts) + "; large: prompt means, line: their mean, small: clips",
        panel=(2.5, 1.9),
    )
    for panel, name in zip(axes.flat, present, strict=False):
        _draw_feature(panel, rows_of(table, feature=name), samples)
    for panel in axes.flat[len(present) :]:
        panel.set_axis_off()
    _name_templates(figure, samples)
    return figure


def _draw_feature(axes: Axes, rows: pd.DataFrame, samples: pd.DataFrame) -> None:
    emotions = distinct(samples, "emotion")
    colours = palette(emotions)
    for x, emotion in enumerate(emotions):
        of_emotion = rows_of(rows, emotion=emotion)
        _draw_emotion(
            axes, x, rows_of(of_emotion, valid=True), distinct(samples, "template"), colours[emotion]
        )
        missing = int((~of_emotion["valid"].to_numpy(bool)).sum())
        if missing:
            axes.text(
                x,
                0.02,
                f"{missing} of {len(of_emotion)}\nno value",
                transform=axes.get_xaxis_transform(),
                ha="center",
                fontsize=6.5,
                color="0.35",
            )
    if not rows["valid"].to_numpy(bool).all():
        low, high = axes.get_ylim()
        axes.set_ylim(low - 0.35 * (high - low), high)
    axes.set_xticks(range(len(emotions)), emotions, fontsize=8)
    axes.set_xlim(-0.5, len(emotions) - 0.5)
    axes.set_title(_label(rows))


def _draw_emotion(axes: Axes, x: int, rows: pd.DataFrame, templates: list[str], colour: str) -> None:
    """Draw one emotion at x; each template has one place in every emotion, so that it can be followed."""
    shapes, means = markers(templates), []
    place = {name: x + 0.6 * ((i + 0.5) / len(templates) - 0.5) for i, name in enumerate(templates)}
    values, template_of = rows["value"].to_numpy(float), rows["template"].tolist()
    where = np.array([place[name] for name in template_of])
    if len(where):
        axes.plot(where, values, ".", color=colour, alpha=0.45, markersize=3)
    for template in dict.fromkeys(template_of):
        means.append(float(values[where == place[template]].mean()))
        axes.plot(
            place[template],
            means[-1],
            shapes[template],
            color=colour,
            markeredgecolor="white",
            markeredgewidth=0.6,
            markersize=6,
        )
    if means:
        axes.hlines(float(np.mean(means)), x - 0.38, x + 0.38, color="black", linewidth=1)


def _label(rows: pd.DataFrame) -> str:
    name, unit = rows[["feature", "unit"]].fillna("").iloc[0]
    words = "harmonic over percussive" if name == "harmonic_percussive" else str(name).replace("_", " ")
    return f"{words} ({unit})" if unit else words


def _name_templates(figure: Figure, samples: pd.DataFrame) -> None:
    shapes = markers(distinct(samples, "template"))
    if not 1 < len(shapes) <= MAX_TEMPLATES_NAMED:
        return
    handles = [
        Line2D([], [], marker=shape, linestyle="", color="0.4", markersize=5, label=str(template))
        for template, shape in shapes.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5), title="template")

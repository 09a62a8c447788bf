"""The sound of the clips, by emotion."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from innerear.acoustics.features import feature_label
from innerear.acoustics.frame_files import read_frames
from innerear.figures.drawing.grid import say
from innerear.figures.drawing.style import dot, legend_below, markers, new_figure, palette, short, styled
from innerear.figures.drawing.tables import distinct, n_clips, rows_of
from innerear.figures.samples import spectrogram_sheet

SHOWN = (
    *("tempo", "onset_rate", "pulse_clarity", "loudness", "crest_factor", "majorness", "register"),
    *("centroid", "flatness", "flux", "onset_strength", "harmonic_percussive"),
)
COLUMNS = 4
MAX_TEMPLATES_NAMED = 8
# Of the names below a panel; more are turned.
MAX_LETTERS = 24


def draw(
    samples: pd.DataFrame,
    clips: pd.DataFrame,
    frames: pd.DataFrame,
    *,
    model: str,
    contrast: str,
    seconds: float,
) -> dict[str, Figure]:
    """Draw the clip features by emotion, and all clips as mel spectrograms.

    `frames` lists the frame files, `seconds` is the length of a clip; emotions are shown whatever the label.
    """
    mel = read_frames(frames, samples["sample_id"].tolist())["mel"].values
    return {
        "acoustic_features": features_by_emotion(clips, samples, model=model),
        "spectrograms": spectrogram_sheet(samples, list(mel), model=model, seconds=seconds),
    }


@styled
def features_by_emotion(clips: pd.DataFrame, samples: pd.DataFrame, *, model: str) -> Figure:
    """Draw clip features by emotion: clips small, prompt means large; one panel per feature.

    `clips` is the long table of clip features; emotions and templates stand in the order of `samples`. Under
    an emotion stands how many clips have no value, if any.
    """
    table = clips.merge(samples[["sample_id", "prompt_id", "template", "emotion", "seed"]], on="sample_id")
    present = [name for name in SHOWN if name in set(table["feature"])]
    counts = f"{n_clips(samples).replace(' ×', ',')}, {len(samples)} clips"
    how = f"{counts}; large: prompt means, line: their mean, small: clips"
    look = {"title": f"What the clips sound like, {model}", "subtitle": how, "panel": (2.5, 1.9)}
    figure, axes = new_figure(-(-len(present) // COLUMNS), COLUMNS, **look)
    for panel, name in zip(axes.flat, present, strict=False):
        _draw_feature(panel, rows_of(table, feature=name), samples)
    for panel in axes.flat[len(present) :]:
        panel.set_axis_off()
    _name_templates(figure, samples)
    return figure


def _draw_feature(axes: Axes, rows: pd.DataFrame, samples: pd.DataFrame) -> None:
    emotions, templates = distinct(samples, "emotion"), distinct(samples, "template")
    colours = palette(emotions)
    for x, emotion in enumerate(emotions):
        of_emotion = rows_of(rows, emotion=emotion)
        _draw_emotion(axes, x, rows_of(of_emotion, valid=True), templates, colours[emotion])
        missing = int((~of_emotion["valid"].to_numpy(bool)).sum())
        if missing:
            said, place = f"{missing} of {len(of_emotion)}\nno value", axes.get_xaxis_transform()
            say(axes, said, x, 0.02, transform=place, va="baseline", fontsize=6.5, color="0.35")
    if not rows["valid"].to_numpy(bool).all():
        low, high = axes.get_ylim()
        axes.set_ylim(low - 0.35 * (high - low), high)
    names = [short(emotion) for emotion in emotions]
    turned = {"rotation": 30, "ha": "right"} if sum(map(len, names)) > MAX_LETTERS else {}
    axes.set_xticks(range(len(emotions)), names, fontsize=8, **turned)
    axes.set_xlim(-0.5, len(emotions) - 0.5)
    name, unit = rows[["feature", "unit"]].fillna("").iloc[0]
    axes.set_title(feature_label(str(name), str(unit)))


def _draw_emotion(axes: Axes, x: int, rows: pd.DataFrame, templates: list[str], colour: str) -> None:
    """Draw one emotion at x; a template has the same place in every emotion."""
    shapes, means = markers(templates), []
    for i, template in enumerate(templates):
        values = rows_of(rows, template=template)["value"].to_numpy(float)
        if len(values):
            place = x + 0.6 * ((i + 0.5) / len(templates) - 0.5)
            axes.plot(np.full(len(values), place), values, ".", color=colour, alpha=0.45, markersize=3)
            means.append(float(values.mean()))
            look = {"color": colour, "markeredgecolor": "white", "markeredgewidth": 0.6, "markersize": 6}
            axes.plot(place, means[-1], shapes[template], **look)
    if means:
        axes.hlines(float(np.mean(means)), x - 0.38, x + 0.38, color="black", linewidth=1)


def _name_templates(figure: Figure, samples: pd.DataFrame) -> None:
    shapes = markers(distinct(samples, "template"))
    if not 1 < len(shapes) <= MAX_TEMPLATES_NAMED:
        return
    handles = [dot(str(template), marker=shape, markersize=5) for template, shape in shapes.items()]
    legend_below(figure, handles, 5, title="template")

"""All clips as mel spectrograms."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from innerear.figures.drawing.style import SEQUENTIAL, new_figure, palette, short, styled
from innerear.figures.drawing.tables import distinct, rows_of

RANGE_DB = 60
# White bands and columns between the spectrograms.
GAP = 4
MAX_PROMPTS = 12
MAX_SEEDS = 8


@styled
def spectrogram_sheet(
    samples: pd.DataFrame, spectrograms: Sequence[NDArray], *, model: str, seconds: float
) -> Figure:
    """Draw the mel spectrograms of all clips: a panel per emotion, a row per prompt, a column per seed.

    At most 12 prompts an emotion and 8 seeds, in the order of `samples`. `spectrograms` are [band, column] in
    dB, [N] in that order; one colour scale serves all: loud clips look louder. `seconds` is a clip's length.
    """
    colours = palette(distinct(samples, "emotion"))
    columns = min(2, len(colours))
    most = max(len(distinct(rows_of(samples, emotion=emotion), "prompt_id")) for emotion in colours)
    seeds = int(_number(samples).max()) + 1
    how = f"n: {len(samples)} clips of {seconds:g} s; rows: prompts, columns: seeds; "
    how += "mel bands to half the sample rate"
    if most > MAX_PROMPTS or seeds > MAX_SEEDS:
        how += f" (at most {MAX_PROMPTS} of {most} prompts and {MAX_SEEDS} of {seeds} seeds)"
    look = {"title": f"Mel spectrograms of the clips, {model}", "subtitle": how}
    size = (5.2, 0.5 + 0.42 * min(MAX_PROMPTS, most))
    figure, axes = new_figure(-(-len(colours) // columns), columns, panel=size, **look)
    top = max(float(image.max()) for image in spectrograms)
    for panel, (emotion, colour) in zip(axes.flat, colours.items(), strict=False):
        inside = (samples["emotion"] == emotion).to_numpy()
        images = [image for image, here in zip(spectrograms, inside, strict=True) if here]
        _draw_emotion(panel, rows_of(samples, emotion=emotion), images, top)
        panel.set_title(short(emotion), color=colour, fontweight="bold", loc="left")
    for panel in axes.flat[len(colours) :]:
        panel.set_axis_off()
    figure.colorbar(axes[0, 0].images[0], ax=axes, label="dB full scale", shrink=0.5, aspect=30)
    return figure


def _draw_emotion(axes: Axes, samples: pd.DataFrame, images: Sequence[NDArray], top: float) -> None:
    """Draw one emotion as one mosaic: an axes per clip would take a minute."""
    prompts, number = distinct(samples, "prompt_id")[:MAX_PROMPTS], _number(samples)
    seeds = min(MAX_SEEDS, int(number.max()) + 1)
    height, width = images[0].shape[0] + GAP, max(image.shape[1] for image in images) + GAP
    mosaic = np.full((len(prompts) * height, seeds * width), np.nan, np.float32)
    template_of = dict(zip(samples["prompt_id"], samples["template"], strict=True))
    for prompt, seed, image in zip(samples["prompt_id"], number, images, strict=True):
        if prompt in prompts and seed < seeds:
            row, column = prompts.index(prompt) * height, seed * width
            mosaic[row : row + image.shape[0], column : column + image.shape[1]] = image[::-1]
    look = {"vmin": top - RANGE_DB, "vmax": top, "aspect": "auto", "interpolation": "nearest"}
    axes.imshow(mosaic, cmap=SEQUENTIAL, **look)
    middles = (np.arange(len(prompts)) + 0.5) * height - GAP / 2
    axes.set_yticks(middles, [short(template_of[name]) for name in prompts])
    axes.set_xticks((np.arange(seeds) + 0.5) * width - GAP / 2, _seed_names(samples, number)[:seeds])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _number(samples: pd.DataFrame) -> NDArray:
    """Number each sample's seed among those of its prompt, from 0."""
    return samples.groupby("prompt_id")["seed"].rank().to_numpy().astype(int) - 1


def _seed_names(samples: pd.DataFrame, number: NDArray) -> list[str]:
    """Name the columns: by the seed where all prompts share it, else by its number within the template."""
    seeds = [set(samples["seed"].to_numpy()[number == column]) for column in range(number.max() + 1)]
    return [
        f"seed {min(one)}" if len(one) == 1 else f"seed {column} of its template"
        for column, one in enumerate(seeds, start=1)
    ]

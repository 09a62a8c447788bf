"""A page of one template's clips, each with its likelihood under every text of the template."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from innerear.figures.drawing.style import palette
from innerear.pages.clips import clips_page
from innerear.pages.figures import Figure
from innerear.pages.heading import Heading
from innerear.stacks import GramFile
from innerear.study.text_swaps import NEUTRAL, NONE, PARAPHRASE

_CONTROLS = {NEUTRAL: "#aaaaaa", PARAPHRASE: "#8d7bc4", NONE: "#777777"}
_NAMES = {NEUTRAL: "no emotion", PARAPHRASE: "paraphrase", NONE: "no text"}
#: of a curve's drawing, in its own units; columns at most
WIDTH, HEIGHT = 200, 60
_SMALLEST = 1e-9


def excess(likelihood: GramFile) -> dict[str, dict[str, NDArray]]:
    """Return how much less likely cond finds each clip's tokens under each text than under its own prompt.

    Parameters
    ----------
    likelihood : an open `likelihood.h5` of a template.

    Returns
    -------
    By sample id, by text other than its own: nats [K, T]; NaN for frames that were given.
    """
    nll = likelihood.read("nll", distribution="cond")
    clips, texts, own = (likelihood.coords(name).tolist() for name in ("codes", "text", "codes_emotion"))
    reference = {clip: nll[i] for i, clip in enumerate(clips) if texts[i] == own[i]}
    found: dict[str, dict[str, NDArray]] = {clip: {} for clip in reference}
    for i, clip in enumerate(clips):
        if texts[i] != own[i]:
            found[clip][texts[i]] = nll[i] - reference[clip]
    return found


def counterfactual_page(
    samples: pd.DataFrame,
    likelihood: GramFile,
    heading: Heading,
    *,
    figures: Mapping[str, Figure],
    templates: Sequence[str],
) -> str:
    """Make a page of the study's figures and of a template's clips, and how likely each is under each text.

    Parameters
    ----------
    samples : the index of the study.
    likelihood : an open `likelihood.h5` of the template.
    figures : of all templates whose texts were swapped, in order.
    templates : all with clips that were read under other texts.
    """
    template = str(likelihood.attrs["template"])
    nats = {(clip, text): one for clip, texts in excess(likelihood).items() for text, one in texts.items()}
    own = samples.loc[samples["sample_id"].isin([clip for clip, _ in nats])]
    colours = palette(own["emotion"].tolist()) | _CONTROLS
    # [clip × text, T], summed over codebooks and over the frames so far
    curves = np.array([np.cumsum(np.nansum(one, axis=0)) for one in nats.values()])
    low, high = curves.min(), curves.max()
    scale = max(high - low, _SMALLEST)
    means = [float(np.nanmean(one)) for one in nats.values()]
    texts: dict[str, list] = {clip: [] for clip, _ in nats}
    for (clip, text), mean, curve in zip(nats, means, curves, strict=True):
        shown = {"name": _NAMES.get(text, text), "colour": colours[text], "mean": mean}
        texts[clip].append(shown | {"points": _points((high - curve) / scale)})
    return clips_page(
        own,
        heading,
        room="Text or history",
        template="counterfactual.html",
        figures=list(figures.values()),
        own_template=template,
        others=[one for one in templates if one != template],
        texts=texts,
        longest=max(_SMALLEST, *map(abs, means)),
        low=low,
        high=high,
        zero=HEIGHT * high / scale,
        duration=curves.shape[-1] / float(likelihood.attrs["frame_rate"]),
        width=WIDTH,
        height=HEIGHT,
    )


def _points(depth: NDArray) -> str:
    """Write a curve [T], 0 at the top to 1 at the bottom, as the points of an SVG line."""
    kept = np.unique(np.linspace(0, len(depth) - 1, WIDTH).round().astype(int))
    points = zip(WIDTH * (kept + 1) / len(depth), HEIGHT * depth[kept], strict=True)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)

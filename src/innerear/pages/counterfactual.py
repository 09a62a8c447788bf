"""Does the model hear that a text is not the clip's own? The clips of a template, with their likelihoods."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from innerear.figures.style import palette
from innerear.pages.clips import contact_sheet
from innerear.stacks import GramFile
from innerear.study.text_swaps import NEUTRAL, NONE, PARAPHRASE

_CONTROLS = {NEUTRAL: "#aaaaaa", PARAPHRASE: "#8d7bc4", NONE: "#777777"}
_NAMES = {NEUTRAL: "no emotion", PARAPHRASE: "paraphrase", NONE: "no text"}
WIDTH, HEIGHT = 200, 60
"""Of a curve's drawing, in its own units; columns at most."""


def excess(likelihood: GramFile, distribution: str = "cond") -> dict[str, dict[str, NDArray]]:
    """Return how much less likely each clip's tokens are under each text than under its own prompt.

    Parameters
    ----------
    likelihood : an open `likelihood.h5` of a template.
    distribution : ``"cond"``, what the model expects given the text, or ``"guided"``, as guidance
        exaggerates it.

    Returns
    -------
    By sample id, by text other than its own: nats [K, T], the negative log-likelihood under the text less
    that under the own prompt; NaN for frames that were given.
    """
    nll = likelihood.read("nll", distribution=likelihood.coords("distribution").tolist().index(distribution))
    clips, texts, own = (likelihood.coords(name).tolist() for name in ("codes", "text", "codes_emotion"))
    reference = {clip: nll[i] for i, clip in enumerate(clips) if texts[i] == own[i]}
    found: dict[str, dict[str, NDArray]] = {clip: {} for clip in reference}
    for i, clip in enumerate(clips):
        if texts[i] != own[i]:
            found[clip][texts[i]] = nll[i] - reference[clip]
    return found


def mismatch_page(samples: pd.DataFrame, likelihood: GramFile, *, title: str, model: str) -> str:
    """Make a page with the clips of a template, and how likely each is under each text.

    Parameters
    ----------
    samples : the study's index: sample_id, prompt_id, emotion, text, seed, audio.
    likelihood : an open `likelihood.h5` of the template.
    title : heading of the page; model : that made the clips.

    Returns
    -------
    One HTML document that holds everything, as `listening.contact_sheet` makes it.
    """
    losses = excess(likelihood)
    own = samples.loc[samples["sample_id"].isin(list(losses))]
    duration = len(likelihood.read("nll")[0, 0, 0]) / float(likelihood.attrs["frame_rate"])
    colours = palette(own["emotion"].tolist()) | _CONTROLS
    sums = {clip: {text: _evidence(nats) for text, nats in texts.items()} for clip, texts in losses.items()}
    span = (
        min(curve.min() for texts in sums.values() for curve in texts.values()),
        max(curve.max() for texts in sums.values() for curve in texts.values()),
    )
    longest = max(abs(float(np.nanmean(nats))) for texts in losses.values() for nats in texts.values())
    notes = [
        _curves(sums[clip], colours, span, duration, escape(clip)) + _bars(losses[clip], colours, longest)
        for clip in own["sample_id"].tolist()
    ]
    return contact_sheet(
        own, own["audio"].tolist(), title=title, model=model, notes=notes, legend=_legend(span)
    )


def _evidence(nats: NDArray) -> NDArray:
    """Sum nats [K, T] over codebooks and over the frames so far: [T]."""
    return np.cumsum(np.nansum(nats, axis=0))


def _curves(
    sums: Mapping[str, NDArray],
    colours: Mapping[str, str],
    span: tuple[float, float],
    duration: float,
    name: str,
) -> str:
    """Draw the evidence over the clip, on the scale of the page, with a head that moves as it plays."""
    low, high = span
    scale = max(high - low, 1e-9)

    def line(curve: NDArray) -> str:
        kept = np.unique(np.linspace(0, len(curve) - 1, WIDTH).round().astype(int))
        points = zip(WIDTH * (kept + 1) / len(curve), HEIGHT * (high - curve[kept]) / scale, strict=True)
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)

    zero = HEIGHT * high / scale
    drawn = "".join(
        f'<polyline points="{line(curve)}" fill="none" stroke="{colours[text]}" stroke-width="1.5" '
        f'vector-effect="non-scaling-stroke"><title>{escape(_NAMES.get(text, text))}</title></polyline>'
        for text, curve in sums.items()
    )
    return (
        '<div style="position:relative;width:100%">'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Evidence for its own prompt over the {duration:g} s of {name}" '
        'style="display:block;width:100%;height:4.5rem">'
        f'<line x1="0" x2="{WIDTH}" y1="{zero:.1f}" y2="{zero:.1f}" stroke="currentColor" stroke-width=".5" '
        f'stroke-dasharray="3 3" vector-effect="non-scaling-stroke"/>{drawn}</svg><i class="head"></i></div>'
    )


def _bars(losses: Mapping[str, NDArray], colours: Mapping[str, str], longest: float) -> str:
    """Return a row for each text: its colour, name, and mean excess in nats per token as bar and number."""
    rows = []
    for text, nats in losses.items():
        mean = float(np.nanmean(nats))
        side = "left:50%" if mean >= 0 else "right:50%"
        bar = (
            '<b style="position:relative;flex:1;border-radius:2px;background:linear-gradient(currentColor,'
            'currentColor) 50% 0/1px 100% no-repeat">'
            f'<i style="position:absolute;top:.35em;height:.6em;{side};'
            f'width:{50 * abs(mean) / max(longest, 1e-9):.1f}%;background:{colours[text]}"></i></b>'
        )
        name = escape(_NAMES.get(text, text))
        rows.append(
            f'<div style="display:flex;gap:.5rem"><span style="flex:0 0 6.5rem">{name}</span>{bar}'
            f'<span style="flex:0 0 4rem;text-align:right">{mean:+.3f}</span></div>'
        )
    return f'<div style="width:100%">{"".join(rows)}</div>'


def _legend(span: Sequence[float]) -> str:
    low, high = (round(nats) for nats in span)
    return (
        " Every clip was read once more under each text of its template. Bars: by how many nats a token is "
        "less likely under a text than under the clip's own prompt (to the right), or likelier (to the "
        f"left). Curves: the same added up over codebooks and time, from {low} to {high} nats on all clips; "
        "one that rises is the model hearing that the text does not fit. Before guidance (cond)."
    )

"""A page of sparse features: labels and sound that each goes with, and moments to listen to."""

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from innerear.analyses.features import is_true, surest
from innerear.features.activations import CODE, NEAR, WITHOUT, Sparse, activation_of
from innerear.figures.drawing.tables import rows_of
from innerear.io.clips import read_clip
from innerear.pages.heading import Heading
from innerear.pages.index import p_text
from innerear.pages.vorbis import embedded
from innerear.statistics.design import Design

#: moments of each kind a feature
MOMENTS = 8
#: moments of one clip at most among the top ones
OF_CLIP = 2
#: seconds that are played of a moment, and how many of them come before it
LISTEN, BEFORE = 1.5, 0.5
#: a page holds at most so many bytes of sound, in base64
MOST_BYTES = 3_500_000
_WIDTH, _HEIGHT, _BINS = 200, 60, 40


def features_page(
    table: pd.DataFrame,
    described: pd.DataFrame,
    activations: Mapping[int, Sparse],
    seconds: NDArray,
    design: Design,
    heading: Heading,
) -> str:
    """Make one HTML document of the features of uncond that differ most surely between labels.

    Parameters
    ----------
    table : map of `innerear.analyses.features`.
    described : of `innerear.features.describe.describe`.
    activations : layer → sparse activations of all N clips.
    seconds : [S'] when each step's first token sounds.
    design : of the study; its samples name the clips (``audio``).

    Raises
    ------
    InputError: a clip that cannot be read.
    """
    chosen = surest(table)
    features = []
    for row in chosen.to_dict("records"):
        own = rows_of(described, layer=row["layer"], feature=row["feature"])
        features.append(_feature(row, _does(own), activations[int(row["layer"])], seconds, design))
    wanted = _by_rank(features)
    clips = _clips(design.samples, wanted)
    kept = {clip["number"] for clip in clips}
    for one in features:  # a page that is too large leaves out clips, and their moments
        one["moments"] = [
            (heading, [moment for moment in moments if moment["clip"] in kept])
            for heading, moments in one["moments"]
        ]
    values = {"contrast": design.label, "features": features, "clips": clips}
    values |= {"n_moments": len(wanted), "n_left_out": sum(clip not in kept for clip in wanted)}
    values |= {"seconds": (float(seconds[0]), float(seconds[-1])), "most_megabytes": MOST_BYTES / 1e6}
    values |= {"n_named": sum(one["named"] for one in features), "listen": LISTEN, "before": BEFORE}
    values |= {"of_clip": OF_CLIP, "width": _WIDTH, "height": _HEIGHT}
    labels = [str(label) for label in design.prompt_labels]
    return heading.page("features.html", "Features", labels=labels, **values)


def _feature(
    row: Mapping, does: list[tuple[str, str]], sparse: Sparse, seconds: NDArray, design: Design
) -> dict[str, Any]:
    """Return what the page shows of one feature."""
    number = int(row["feature"])
    fires = activation_of(sparse, number)  # [N, S']
    density = float((fires > 0).mean())
    curves, highest = _curves(fires, design)
    facts = [
        ("fires in", f"{density:.1%} of steps, {int((fires > 0).any(axis=1).sum())} clips"),
        ("fires most in", most := _most(fires, design)),
        ("ω² of clip means", f"{row['estimate']:.2f}"),
        ("p by max-T", _p(row["p_corrected"])),
        ("p by sign flips", _p(row["p_flip_corrected"])),
        ("templates agree", f"{row['k']:.0f} of {row['n_templates']:.0f}" if row["k"] >= 0 else "–"),
        ("found by all seeds", "yes" if is_true(row["stable"]) else "no"),
        ("beyond random weights", "yes" if is_true(row["beyond_twin"]) else "no"),
        *does,
    ]
    moments = [
        ("Top", [_moment(fires, seconds, design, *one) for one in top_moments(fires, design)]),
        ("Others", [_moment(fires, seconds, design, *one) for one in other_moments(fires)]),
    ]
    return {
        "layer": int(row["layer"]),
        "number": number,
        "named": bool(row["named"]),
        "most": most,
        "density": density,
        "effect": float(row["estimate"]),
        "p": float(row["p_corrected"]),
        "shown_p": _p(row["p_corrected"]),
        "facts": facts,
        "curves": curves,
        "highest": highest,
        "moments": moments,
    }


def _most(fires: NDArray, design: Design) -> str:
    """Return the label with the largest mean activation over its prompts."""
    of_prompts = fires.mean(axis=1)[design.rows].mean(axis=1)  # [P]
    labels = dict.fromkeys(design.prompt_labels.tolist())
    return str(max(labels, key=lambda label: of_prompts[design.prompt_labels == label].mean()))


def _by_rank(features: Iterable[Mapping]) -> list[int]:
    """Return the clip of every moment: the first ones of all features, then the second ones, and so on."""
    ranks = zip_longest(*(moments for one in features for _, moments in one["moments"]))
    return [moment["clip"] for rank in ranks for moment in rank if moment]


def _does(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what is said of a feature's direction, what it reads, and what the model loses without it."""
    near, codes, costs = (rows_of(rows, about=about).to_dict("records") for about in (NEAR, CODE, WITHOUT))
    every = [
        ("near", [f"{one['which']:.0f} ({one['value']:.2f})" for one in near]),
        ("reads", [f"{one['which']:.0f} of {one['codebook']:.0f} ({one['value']:.1f} ×)" for one in codes]),
        ("nats without it", [f"{one['value']:+.3f}" for one in costs]),
    ]
    return [(name, ", ".join(shown)) for name, shown in every if shown]


def _p(value: float) -> str:
    return p_text(value) or "none"


def top_moments(fires: NDArray, design: Design) -> list[tuple[int, int]]:
    """Return (clip, step) of the largest activations: at most `OF_CLIP` a clip, of at least 3 prompts.

    Neighbouring steps of a moment that is already there are passed over; where a prompt fills too many
    places, the last ones go to others.
    """
    apart, found, prompts = 25, list[tuple[int, int]](), list[int]()
    order = np.argsort(-fires, axis=None, kind="stable")[: min(fires.size, 20_000)]
    for place in order:
        clip, step = (int(one) for one in np.unravel_index(place, fires.shape))
        if fires[clip, step] <= 0 or len(found) == MOMENTS:
            break
        own = [other for at, other in found if at == clip]
        prompt = int(design.prompt_of[clip])
        wanted = 3 - len({*prompts})  # prompts that are still to come
        full = len(found) + wanted >= MOMENTS and prompt in prompts
        if len(own) >= OF_CLIP or any(abs(step - other) < apart for other in own) or full:
            continue
        found.append((clip, step))
        prompts.append(prompt)
    return found


def other_moments(fires: NDArray) -> list[tuple[int, int]]:
    """Return the (clip, step) of activations at even quantiles of all that fire, strongest first."""
    where = np.argwhere(fires > 0)
    if not len(where):
        return []
    where = where[np.argsort(-fires[tuple(where.T)], kind="stable")]
    quantiles = (np.arange(MOMENTS) + 0.5) / MOMENTS
    picked = dict.fromkeys(map(tuple, where[(quantiles * len(where)).astype(int)].tolist()))
    return [(int(clip), int(step)) for clip, step in picked]


def _moment(fires: NDArray, seconds: NDArray, design: Design, clip: int, step: int) -> dict[str, Any]:
    at = float(seconds[step])
    return {
        "clip": clip,
        "name": str(design.samples["sample_id"].iloc[clip]),
        "seconds": at,
        "start": max(0.0, at - BEFORE),
        "value": float(fires[clip, step]),
    }


def _curves(fires: NDArray, design: Design) -> tuple[list[dict[str, str]], float]:
    """Return the mean activation over the clip by label, as points, with 95 % intervals over prompts.

    The second is the value at the top of the drawing.
    """
    bins = np.array_split(np.arange(fires.shape[1]), min(_BINS, fires.shape[1]))
    binned = np.stack([fires[:, one].mean(axis=1) for one in bins], axis=1)  # [N, bins]
    of_prompts = binned[design.rows].mean(axis=1)  # [P, bins]
    curves, highest = {}, 1e-12
    for label in dict.fromkeys(design.prompt_labels.tolist()):
        own = of_prompts[design.prompt_labels == label]
        middle = own.mean(axis=0)
        error = 1.96 * own.std(axis=0, ddof=1) / np.sqrt(len(own)) if len(own) > 1 else np.zeros_like(middle)
        curves[label] = middle - error, middle, middle + error
        highest = max(highest, float((middle + error).max()))
    x = np.linspace(0, _WIDTH, len(bins))

    def points(values: NDArray, at: NDArray = x) -> str:
        heights = _HEIGHT * (1 - np.clip(values / highest, 0, 1))
        return " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(at, heights, strict=True))

    drawn = [
        {
            "name": label,
            "points": points(curves[label][1]),
            "band": f"{points(curves[label][0])} {points(curves[label][2][::-1], x[::-1])}",
        }
        for label in curves
    ]
    return drawn, highest


def _clips(samples: pd.DataFrame, wanted: Iterable[int]) -> list[dict[str, object]]:
    """Return the sound of clips, each once, until the page is full."""
    clips, size = [], 0
    for number in dict.fromkeys(wanted):
        row = samples.iloc[number]
        wave, rate, _ = read_clip(row["audio"], row["audio_sha256"])
        ogg = embedded(wave.mean(axis=1, keepdims=True), rate)
        size += len(ogg)
        if size > MOST_BYTES:
            break
        clips.append({"number": number, "ogg": ogg})
    return clips

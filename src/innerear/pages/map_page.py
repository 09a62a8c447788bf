"""The map of layers and steps: each measure at each moment, and the music of that moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from innerear.analyses.discriminability import DISTANCE, EVIDENCE
from innerear.analyses.features import surest
from innerear.analyses.similarity import CENTRED, OTHER_SEED, RATING_OTHER_SEED
from innerear.features.activations import Sparse, activation_of
from innerear.figures.drawing.style import SEQUENTIAL
from innerear.figures.drawing.tables import rows_of
from innerear.gram.reading import GramSource
from innerear.io.clips import read_clip
from innerear.pages.clips import thumbnail
from innerear.pages.heading import Heading
from innerear.pages.pack import Packed, counted, listed, pack
from innerear.pages.plane import planes
from innerear.pages.step_axis import StepAxis
from innerear.pages.templates import as_script
from innerear.pages.vorbis import embedded
from innerear.statistics.significance import ALPHA

BRANCHES = {"cond": "reads the text", "uncond": "reads only the music so far", "delta": "cond − uncond"}
SHADES = 64


@dataclass(frozen=True)
class Firing:
    """The activation of a sparse feature at each complete step of each clip: values [N, S']."""

    layer: int
    number: int
    named: bool
    values: NDArray


@dataclass(frozen=True)
class Measure:
    """A layer × step map: the rows of a table that it is made of, and what its values are."""

    key: str
    name: str
    meaning: str
    unit: str
    table: str
    where: Mapping[str, object]


MEASURES = (
    Measure(
        "distance",
        "How far apart labels lie",
        "squared distance of two labels' means ÷ variance, cross-validated; 0 without an effect",
        "squared distance ÷ variance",
        "discriminability",
        {"statistic": DISTANCE},
    ),
    Measure(
        "evidence",
        "What a probe of the label knows",
        "evidence of a probe on held-out sentences as a share of a perfect one's; 0 without an effect",
        "share of a perfect probe's evidence",
        "discriminability",
        {"statistic": EVIDENCE},
    ),
    Measure(
        "cosine",
        "How much more alike clips of one label are",
        "mean cosine of pairs of one label less that of two, of other seeds; 0 without an effect",
        "difference of mean cosines",
        "similarity",
        {"statistic": [OTHER_SEED, RATING_OTHER_SEED], "measure": CENTRED},
    ),
    Measure(
        "text",
        "What the text explains",
        "share of the variance over clips and texts, of cond, which alone reads a text; 0 without an effect",
        "share of variance",
        "decomposition",
        {"statistic": "text", "weights": "trained"},
    ),
    Measure(
        "history",
        "What the music so far explains",
        "share of the variance over clips and texts, of cond, which alone reads a text; 0 without an effect",
        "share of variance",
        "decomposition",
        {"statistic": "history", "weights": "trained"},
    ),
)


def map_page(
    samples: pd.DataFrame,
    heading: Heading,
    *,
    tables: Mapping[str, pd.DataFrame],
    grams: Mapping[int, GramSource],
    mel: Sequence[NDArray],
    codes: NDArray | None = None,
    features: Sequence[Firing] = (),
) -> str:
    """Make the page.

    Parameters
    ----------
    samples : the index.
    tables : the maps ``discriminability``, ``similarity`` and ``decomposition``; a measure that no row of
        them has is left out. Of none, the first stays, which says that nothing is measured.
    grams : open Gram files by layer.
    mel : [N] mel spectrograms.
    codes : tokens [N, K, T].
    features : those that are shown where they fire.

    Raises
    ------
    InputError: a clip that cannot be read; values that a page cannot hold exactly.
    """
    first = next(iter(grams.values()))
    arrays: dict[str, Packed] = {}
    layers, branches = list(grams), first.labels("branch")
    steps = StepAxis.of(first)
    rows = {one.key: rows_of(tables[one.table], over="steps", **one.where) for one in MEASURES}
    there = [one for one in MEASURES if _is_known(rows[one.key])] or [MEASURES[0]]
    measures = [_measure(one, rows[one.key], branches, layers, steps, arrays) for one in there]
    plane = planes(grams)
    arrays["places"] = pack(plane.places)
    # With windows a step may read frames again; then no step is a frame's own.
    n_frames = len(steps.complete) - int(steps.complete.argmax())
    if codes is not None and codes.shape[-1] == n_frames:
        arrays["codes"] = pack(codes.astype(np.uint16))
    shown = [one for one in features if one.values.shape[-1] == steps.complete.sum()]
    if shown:
        hundredths = 100 * np.stack([one.values for one in shown])
        arrays["features"] = pack(hundredths.round().clip(0, np.iinfo(np.uint16).max).astype(np.uint16))
    told = {
        "alpha": ALPHA,
        "measures": measures,
        "branches": [{"name": name, "reads": BRANCHES.get(name, "")} for name in branches],
        "layers": [int(layer) for layer in layers],
        "seconds": [round(float(second), 6) for second in steps.seconds],
        "complete": steps.complete.astype(int).tolist(),
        "bins": steps.bins.tolist(),
        "shares": plane.shares.round(3).tolist(),
        "colours": [to_hex(shade) for shade in matplotlib.colormaps[SEQUENTIAL](np.linspace(0, 1, SHADES))],
        "clips": _clips(samples, mel),
        "features": [{"layer": one.layer, "number": one.number, "named": one.named} for one in shown],
    }
    emotions = samples["emotion"].astype(str).tolist()
    return heading.page(
        "map.html",
        "Map",
        labels=emotions,
        names=list(dict.fromkeys(emotions)),
        told=as_script(told),
        arrays=arrays,
        sounds=_sounds(samples),
        measures=measures,
        clips=told["clips"],
        n_features=len(shown),
    )


def firing(table: pd.DataFrame, activations: Mapping[int, Sparse]) -> list[Firing]:
    """Return how the features of the page of features fire.

    Parameters
    ----------
    table : map of `innerear.analyses.features`.
    activations : layer → sparse activations of all clips.
    """
    found = []
    for row in surest(table).to_dict("records"):
        layer, number = int(row["layer"]), int(row["feature"])
        found.append(Firing(layer, number, bool(row["named"]), activation_of(activations[layer], number)))
    return found


def _is_known(rows: pd.DataFrame) -> bool:
    return bool(np.isfinite(rows["estimate"].to_numpy(float)).any())


def _measure(
    measure: Measure,
    rows: pd.DataFrame,
    branches: Sequence[str],
    layers: Sequence[int],
    steps: StepAxis,
    arrays: dict[str, Packed],
) -> dict[str, Any]:
    """Pack a measure's values, intervals and p [C, L, S]; return what the script must know of them."""

    def laid_out(column: str) -> NDArray:
        none = np.full((len(layers), len(steps.complete)), np.nan)
        parts = [rows_of(rows, branch=branch) for branch in branches]
        there = [one if column in one else one.iloc[:0] for one in parts]
        return np.stack([steps.by_layer(one, column, layers) if len(one) else none for one in there])

    value = laid_out("estimate")
    for name, column in (("value", "estimate"), ("low", "ci_lo"), ("high", "ci_hi")):
        arrays[f"{measure.key}-{name}"] = pack(counted(laid_out(column), f"{measure.table}, {column}"))
    numbers = {}
    for name, column in (("p", "p_corrected"), ("flip", "p_flip_corrected")):
        places, numbers[name] = listed(laid_out(column))
        arrays[f"{measure.key}-{name}"] = pack(places)
    known = value[np.isfinite(value)]
    return {
        "key": measure.key,
        "name": measure.name,
        "meaning": measure.meaning,
        "unit": measure.unit,
        "numbers": numbers,
        # What the colours end at, and what lies beyond.
        "top": float(np.quantile(known, 0.995)) if known.max(initial=0) > 0 else 1.0,
        "most": float(known.max(initial=0)),
        "least": float(known.min(initial=0)),
    }


def _clips(samples: pd.DataFrame, mel: Sequence[NDArray]) -> list[dict[str, Any]]:
    """Return what is shown of each clip."""
    top = max((float(image.max()) for image in mel), default=0.0)
    emotions = samples["emotion"].astype(str).tolist()
    order = list(dict.fromkeys(emotions))
    columns = (samples[name].astype(str).tolist() for name in ("sample_id", "text"))
    return [
        {"name": name, "text": text, "label": order.index(emotion), "image": thumbnail(image, top)}
        for name, text, emotion, image in zip(*columns, emotions, mel, strict=True)
    ]


def _sounds(samples: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the sound of each clip as Ogg Vorbis in base64, with its rate and its length in seconds."""
    sounds = []
    for path, sha256 in zip(samples["audio"], samples["audio_sha256"], strict=True):
        wave, rate, *_ = read_clip(path, sha256)
        sounds.append({"ogg": embedded(wave, rate), "rate": rate, "seconds": len(wave) / rate})
    return sounds

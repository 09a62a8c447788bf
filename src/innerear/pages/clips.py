"""One page with all clips of a study, to look at and to listen to without a network."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from innerear.acoustics.spectrogram import mel_spectrogram
from innerear.figures.drawing.style import SEQUENTIAL
from innerear.io.clips import read_clip
from innerear.pages import strips
from innerear.pages.heading import Heading
from innerear.pages.vorbis import embedded

#: columns and rows of a spectrogram thumbnail at most
THUMBNAIL = (200, 48)
_SHOWN = {
    "tempo": ("tempo", "{:.0f} BPM"),
    "loudness": ("loudness", "{:.1f} LUFS"),
    "centroid": ("centroid", "{:.0f} Hz"),
    "majorness": ("mode", "{mode} {:+.2f}"),
}


def clips_page(
    samples: pd.DataFrame,
    heading: Heading,
    *,
    room: str = "Clips",
    clips: pd.DataFrame | None = None,
    mel: Sequence[NDArray] | None = None,
    chroma: NDArray | None = None,
    norms: NDArray | None = None,
    template: str = "clips.html",
    **further: object,
) -> str:
    """Make one HTML document with a player for each clip, ordered emotion → prompt → seed.

    It holds everything: sound as Ogg Vorbis, about 40 kB per clip of 5 s.

    Parameters
    ----------
    samples : the index; emotions, prompts and seeds are in its order: sample_id, prompt_id, emotion,
        text, seed, audio, audio_sha256, and recording, the name of a recorded track's file.
    heading, room : of the study, and the page's own name.
    clips : long table of clip features: sample_id, feature, value, reason. The page shows some of them.
    mel : [N] `mel_spectrogram` of each clip; measured here if not given.
    chroma, norms : [N, 12, T] shares of the pitch classes and [N, L, S] of `strips.state_norms`. With
        both, each clip can be looked at closer: `strips.strips`.
    template, further : of the page, and values that it asks for.

    Raises
    ------
    InputError: a clip cannot be read, or is not the one whose ``audio_sha256`` the index lists.
    """
    clips_of = zip(samples["audio"], samples["audio_sha256"], strict=True)
    waves = [read_clip(path, sha256)[:2] for path, sha256 in clips_of]
    images = [mel_spectrogram(wave.T, rate) for wave, rate in waves] if mel is None else list(mel)
    top = max((float(image.max()) for image in images), default=0.0)
    facts = {} if clips is None else _facts(clips)
    drawn = [] if chroma is None or norms is None else _closer(waves, images, chroma, norms, top)
    names, seeds = samples["sample_id"].astype(str).tolist(), samples["seed"].tolist()
    files = samples["recording"].tolist()
    cards = [
        {
            "name": names[i],
            "seed": seeds[i],
            "file": files[i],
            "seconds": len(wave) / rate,
            "rate": rate,
            "ogg": embedded(wave, rate),
            "image": thumbnail(images[i], top),
            "facts": facts.get(names[i], []),
            "strips": drawn[i] if drawn else {},
            "ticks": strips.ticks(len(wave) / rate),
        }
        for i, (wave, rate) in enumerate(tqdm(waves, desc="page of clips", unit="clip"))
    ]
    labels = samples["emotion"].astype(str).tolist()
    values = {"closer": bool(drawn), "emotions": _ordered(samples, cards), "seeds": sorted(set(seeds))}
    values["sentences"] = list(dict.fromkeys(_sentences(samples)))
    return heading.page(template, room, labels=labels, **values, **further)


def _ordered(samples: pd.DataFrame, cards: Sequence[Mapping]) -> list[dict]:
    """Return emotions, each with its prompts, each with its clips, in the order of the index."""
    found: dict = {}
    columns = (samples[name].tolist() for name in ("emotion", "prompt_id", "text"))
    for emotion, prompt, text, sentence, card in zip(*columns, _sentences(samples), cards, strict=True):
        prompts = found.setdefault(emotion, {})
        own = {"id": prompt, "text": text, "sentence": sentence, "clips": []}
        prompts.setdefault(prompt, own)["clips"].append(card)
    return [{"name": name, "prompts": list(prompts.values())} for name, prompts in found.items()]


def _sentences(samples: pd.DataFrame) -> list[str]:
    """Return the sentence of each clip: its template, or its prompt where it has none."""
    columns = (samples[name].astype(str).tolist() for name in ("template", "prompt_id"))
    return [template or prompt for template, prompt in zip(*columns, strict=True)]


def _closer(waves, images, chroma: NDArray, norms: NDArray, top: float) -> list[dict[str, str]]:
    """Return the strips of each clip, all on the same scales."""
    lengths = strips.by_frame(norms, chroma.shape[-1])
    span = strips.spread(lengths)
    return [
        strips.strips(wave, image, own, length, top=top, span=span)
        for (wave, _), image, own, length in zip(waves, images, chroma, lengths, strict=True)
    ]


def thumbnail(image: NDArray, top: float) -> str:
    """Return a spectrogram [band, column] in dB as a small PNG data URI, coloured from `top` down 60 dB."""
    levels = np.clip((image[::-1] - top + strips.RANGE_DB) / strips.RANGE_DB, 0, 1)
    picture = Image.fromarray((255 * levels).astype(np.uint8))
    size = (min(THUMBNAIL[0], picture.width), min(THUMBNAIL[1], picture.height))
    small = np.asarray(picture.resize(size, Image.Resampling.BOX))
    # Sixteen shades are enough at this size and halve the file.
    return strips.data_uri(Image.fromarray(small // 16), SEQUENTIAL)


def _facts(clips: pd.DataFrame) -> dict[str, list[tuple[str, str, str]]]:
    """Return what each sample's clip sounds like: name, value in words, and the reason if there is none."""
    facts = defaultdict(list)
    columns = (clips[name].tolist() for name in ("sample_id", "feature", "value", "reason"))
    for sample, feature, value, reason in zip(*columns, strict=True):
        if feature in _SHOWN:
            name, words = _SHOWN[feature]
            known = words.format(value, mode="major" if value > 0 else "minor"), ""
            facts[str(sample)].append((name, *(("none", str(reason)) if np.isnan(value) else known)))
    return facts

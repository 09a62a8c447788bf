"""One page with all clips of a study, to look at and to listen to without a network."""

import base64
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from innerear.acoustics.spectrogram import mel_spectrogram
from innerear.errors import InputError
from innerear.figures.style import SEQUENTIAL, palette
from innerear.pages import strips
from innerear.pages.templates import fill

VORBIS_BLOCK = 1 << 16
"""Samples given to the Vorbis encoder at a time: libsndfile overflows its stack on minutes at once."""
THUMBNAIL = (200, 48)
"""Columns and rows of a spectrogram thumbnail at most."""
_SHOWN = {
    "tempo": ("tempo", "{:.0f} BPM"),
    "loudness": ("loudness", "{:.1f} LUFS"),
    "centroid": ("centroid", "{:.0f} Hz"),
    "majorness": ("mode", "{mode} {:+.2f}"),
}
_Facts = dict[str, list[tuple[str, str, str]]]


def clips_page(
    samples: pd.DataFrame,
    audio: Sequence[str | PathLike],
    *,
    title: str,
    model: str,
    clips: pd.DataFrame | None = None,
    mel: Sequence[NDArray] | None = None,
    chroma: NDArray | None = None,
    norms: NDArray | None = None,
    template: str = "clips.html",
    **further: object,
) -> str:
    """Make a page with a player for each clip, ordered emotion → prompt → seed.

    Parameters
    ----------
    samples : the index, in whose order emotions, prompts and seeds stand: sample_id, prompt_id,
        emotion, text, seed.
    audio : [N] sound files, in the order of `samples`.
    title : heading of the page, such as the study's name.
    model : the model that made the clips.
    clips : long table of clip features: sample_id, feature, value, reason. The page shows tempo, loudness,
        centroid and mode of each clip.
    mel : [N] `mel_spectrogram` of each clip; measured here if not given.
    chroma, norms : [N, 12, T] shares of the pitch classes and [N, L, S] of `strips.state_norms`. With
        both, each clip can be looked at closer: `strips.strips`.
    template : of the page; further : values that it asks for.

    Returns
    -------
    One HTML document that holds everything: sound as Ogg Vorbis, about 40 kB per clip of 5 s.

    Raises
    ------
    InputError: another number of sound files than samples, or a file that cannot be read.
    """
    if len(samples) != len(audio):
        raise InputError(
            f"{len(audio)} sound files for {len(samples)} samples: give one each, in the same order"
        )
    waves = [_read(path) for path in audio]
    images = [mel_spectrogram(wave.T, rate) for wave, rate in waves] if mel is None else list(mel)
    top = max((float(image.max()) for image in images), default=0.0)
    facts = {} if clips is None else _facts(clips)
    drawn = [] if chroma is None or norms is None else _closer(waves, images, chroma, norms, top)
    names, seeds = samples["sample_id"].astype(str).tolist(), samples["seed"].tolist()
    cards = [
        {
            "name": names[i],
            "seed": seeds[i],
            "seconds": len(wave) / rate,
            "sound": _vorbis(wave, rate),
            "image": _thumbnail(images[i], top),
            "facts": facts.get(names[i], []),
            "strips": drawn[i] if drawn else {},
            "ticks": strips.ticks(len(wave) / rate),
        }
        for i, (wave, rate) in enumerate(tqdm(waves, desc="page of clips", unit="clip"))
    ]
    values = {"title": title, "model": model, "closer": bool(drawn), "n_clips": len(samples)}
    values |= {"n_prompts": samples["prompt_id"].nunique(), "emotions": _ordered(samples, cards)}
    return fill(template, **values, **further)


def _ordered(samples: pd.DataFrame, cards: Sequence[Mapping]) -> list[dict]:
    """Return emotions, each with its prompts, each with its clips, in the order of the index."""
    colours = palette(list(dict.fromkeys(samples["emotion"].tolist())))
    found: dict = {name: {} for name in colours}
    columns = (samples[name].tolist() for name in ("emotion", "prompt_id", "text"))
    for emotion, prompt, text, card in zip(*columns, cards, strict=True):
        found[emotion].setdefault(prompt, {"id": prompt, "text": text, "clips": []})["clips"].append(card)
    return [
        {"name": name, "colour": colours[name], "prompts": list(prompts.values())}
        for name, prompts in found.items()
    ]


def _closer(waves, images, chroma: NDArray, norms: NDArray, top: float) -> list[dict[str, str]]:
    """Return the strips of each clip, all on the same scales."""
    lengths = strips.by_frame(norms, chroma.shape[-1])
    span = strips.spread(lengths)
    return [
        strips.strips(wave, image, own, length, top=top, span=span)
        for (wave, _), image, own, length in zip(waves, images, chroma, lengths, strict=True)
    ]


def _read(path: str | PathLike) -> tuple[NDArray[np.float32], int]:
    """Return a sound file as [n, channels] and its sample rate."""
    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path} cannot be read as sound ({error}); make it again") from None
    return np.asarray(wave, np.float32), rate


def _vorbis(wave: NDArray, rate: int) -> str:
    """Return sound [n, channels] as a data URI."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", samplerate=rate, channels=wave.shape[1], format="OGG", subtype="VORBIS"
    ) as encoder:
        for start in range(0, len(wave), VORBIS_BLOCK):
            encoder.write(wave[start : start + VORBIS_BLOCK])
    return "data:audio/ogg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _thumbnail(image: NDArray, top: float) -> str:
    """Return a spectrogram [band, column] in dB as a small PNG data URI, coloured from `top` down 60 dB."""
    levels = np.clip((image[::-1] - top + strips.RANGE_DB) / strips.RANGE_DB, 0, 1)
    picture = Image.fromarray((255 * levels).astype(np.uint8))
    size = (min(THUMBNAIL[0], picture.width), min(THUMBNAIL[1], picture.height))
    small = np.asarray(picture.resize(size, Image.Resampling.BOX))
    # Sixteen shades are enough at this size and halve the file.
    return strips.data_uri(Image.fromarray(small // 16), SEQUENTIAL)


def _facts(clips: pd.DataFrame) -> _Facts:
    """Return what each sample's clip sounds like: name, value in words, and the reason if there is none."""
    facts: _Facts = defaultdict(list)
    shown = clips[clips["feature"].isin(_SHOWN)]
    columns = (shown[name].tolist() for name in ("sample_id", "feature", "value", "reason"))
    for sample, feature, value, reason in zip(*columns, strict=True):
        name, words = _SHOWN[feature]
        mode = "major" if value > 0 else "minor"
        known, missing = (words.format(value, mode=mode), ""), ("none", str(reason))
        facts[str(sample)].append((name, *(missing if np.isnan(value) else known)))
    return facts

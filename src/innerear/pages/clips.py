"""One page with all clips of a study, to be looked at and listened to without a network."""

import base64
import io
import math
from collections.abc import Sequence
from html import escape
from os import PathLike

import matplotlib
import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from innerear.acoustics.spectrogram import mel_spectrogram
from innerear.errors import InputError
from innerear.figures.style import SEQUENTIAL, palette
from innerear.pages import strips as panels

VORBIS_BLOCK = 1 << 16
"""Samples given to the Vorbis encoder at a time: libsndfile overflows its stack on minutes at once."""
THUMBNAIL = (200, 48)
"""Columns and rows of a spectrogram thumbnail at most."""
RANGE_DB = 60


def contact_sheet(
    samples: pd.DataFrame,
    audio: Sequence[str | PathLike],
    *,
    title: str,
    model: str,
    clips: pd.DataFrame | None = None,
    mel: Sequence[NDArray] | None = None,
    chroma: NDArray | None = None,
    norms: NDArray | None = None,
    notes: Sequence[str] | None = None,
    legend: str = "",
) -> str:
    """Make a page with a player for each clip, ordered emotion → prompt → seed.

    Parameters
    ----------
    samples : the index, in whose order emotions, prompts and seeds stand: sample_id, prompt_id,
        emotion, text, seed.
    audio : [N] sound files, in the order of `samples`.
    title : heading of the page, such as the study's name.
    model : the model that made the clips.
    clips : long table of clip features: sample_id, feature, unit, value, reason; tempo, loudness,
        brightness and mode of each clip are written beside it.
    mel : [N] `mel_spectrogram` of each clip; measured here if not given.
    chroma, norms : [N, 12, T] shares of the pitch classes and [N, L, S] of `panels.state_norms`; with
        both, each clip can be looked at closer: `panels.strips`.
    notes : [N] HTML that stands below each clip; legend : HTML that explains it, at the head of the page.

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
    facts = _facts(clips) if clips is not None else {}
    closer = [""] * len(waves)
    if chroma is not None and norms is not None:
        closer = _closer(samples["sample_id"].tolist(), waves, images, chroma, norms, top)
    below = [""] * len(waves) if notes is None else notes
    cards = [
        _card(
            str(sample),
            str(seed),
            wave,
            rate,
            _thumbnail(image, top),
            facts.get(str(sample), "") + panel + note,
        )
        for sample, seed, (wave, rate), image, panel, note in zip(
            samples["sample_id"].tolist(),
            samples["seed"].tolist(),
            tqdm(waves, desc="listening page", unit="clip"),
            images,
            closer,
            below,
            strict=True,
        )
    ]
    emotions = list(dict.fromkeys(samples["emotion"].tolist()))
    anchors = {emotion: f"emotion-{number}" for number, emotion in enumerate(emotions)}
    colours = palette(emotions)
    links = "".join(
        f'<a href="#{anchors[emotion]}" style="--emotion:{colours[emotion]}">{escape(str(emotion))}</a>'
        for emotion in emotions
    )
    sections = "".join(
        f'<section id="{anchors[emotion]}" style="--emotion:{colours[emotion]}">'
        f"<h2>{escape(str(emotion))}</h2>{_prompts(samples, cards, emotion)}</section>"
        for emotion in emotions
    )
    counts = f"{len(samples)} clips of {samples['prompt_id'].nunique()} prompts, made by {model}"
    return _PAGE.format(
        title=escape(title),
        counts=escape(counts),
        links=links,
        sections=sections,
        legend=(_LEGEND if any(closer) else "") + legend,
        style=_STYLE,
        script=_SCRIPT,
    )


def _closer(
    names: Sequence[str],
    waves: Sequence[tuple[NDArray, int]],
    images: Sequence[NDArray],
    chroma: NDArray,
    norms: NDArray,
    top: float,
) -> list[str]:
    """Return the strips of each clip, all on the same scales."""
    moved = panels.by_frame(norms, chroma.shape[-1])
    span = panels.spread(moved)
    closer = []
    for name, (wave, rate), image, own, lengths in zip(names, waves, images, chroma, moved, strict=True):
        drawn = panels.strips(wave, image, own, lengths, top=top, span=span)
        closer.append(panels.html(drawn, len(wave) / rate, escape(str(name))))
    return closer


def _read(path: str | PathLike) -> tuple[NDArray[np.float32], int]:
    """Return a sound file as [n, channels] and its sample rate."""
    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path} cannot be read as sound ({error}); make it again") from None
    return np.asarray(wave, np.float32), rate


def _prompts(samples: pd.DataFrame, cards: Sequence[str], emotion: object) -> str:
    """Return the prompts of one emotion, each with its cards."""
    by_prompt: dict[str, tuple[str, list[str]]] = {}
    columns = (samples["emotion"].tolist(), samples["prompt_id"].tolist(), samples["text"].tolist(), cards)
    for label, prompt, text, card in zip(*columns, strict=True):
        if label == emotion:
            by_prompt.setdefault(str(prompt), (str(text), []))[1].append(card)
    return "".join(
        f"<article><h3>{escape(text)} <small>{escape(prompt)}</small></h3>"
        f'<div class="cards">{"".join(of_prompt)}</div></article>'
        for prompt, (text, of_prompt) in by_prompt.items()
    )


def _card(sample: str, seed: str, wave: NDArray, rate: int, image: str, more: str) -> str:
    name = escape(sample)
    return (
        f'<figure><button type="button" class="player" data-sound="{_vorbis(wave, rate)}" '
        f'data-name="{name}" aria-label="Play {name}" aria-pressed="false">'
        f'<img alt="Mel spectrogram of {name}" src="{image}"><i class="head"></i></button>'
        f"<figcaption><b>seed {escape(seed)}</b> <span>{len(wave) / rate:.1f} s</span>{more}"
        "</figcaption></figure>"
    )


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
    """Return a spectrogram [band, column] in dB as a PNG data URI, coloured from `top` down 60 dB."""
    levels = np.clip((image[::-1] - top + RANGE_DB) / RANGE_DB, 0, 1)
    picture = Image.fromarray((255 * levels).astype(np.uint8))
    size = (min(THUMBNAIL[0], picture.width), min(THUMBNAIL[1], picture.height))
    small = np.asarray(picture.resize(size, Image.Resampling.BOX))
    # Sixteen shades are enough at this size and halve the file.
    picture = Image.fromarray(small // 16 * 17)
    colours = matplotlib.colormaps[SEQUENTIAL](np.arange(256))[:, :3]
    picture.putpalette((255 * colours).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _facts(clips: pd.DataFrame) -> dict[str, str]:
    """Return, for each sample, a description list of what its clip sounds like."""
    cells: dict[str, list[str]] = {}
    columns = (clips[name].tolist() for name in ("sample_id", "feature", "value", "reason"))
    for sample, feature, value, reason in zip(*columns, strict=True):
        if feature in _SHOWN:
            cells.setdefault(str(sample), []).append(_fact(feature, float(value), str(reason)))
    return {sample: f"<dl>{''.join(parts)}</dl>" for sample, parts in cells.items()}


def _fact(feature: str, value: float, reason: str) -> str:
    name, shown = _SHOWN[feature]
    if math.isnan(value):
        return f'<div><dt>{name}</dt><dd title="{escape(reason)}">none</dd></div>'
    if feature == "majorness":
        shown = ("major" if value > 0 else "minor") + " {:+.2f}"
    return f"<div><dt>{name}</dt><dd>{escape(shown.format(value))}</dd></div>"


_SHOWN = {
    "tempo": ("tempo", "{:.0f} BPM"),
    "loudness": ("loudness", "{:.1f} LUFS"),
    "centroid": ("centroid", "{:.0f} Hz"),
    "majorness": ("mode", ""),
}

_LEGEND = """ <i>Look closer</i> shows a clip over one time axis: waveform, mel spectrogram, pitch classes
(C at the bottom), and how long the states of each layer are (lowest at the bottom), red longer and blue
shorter than usual in that layer, at the step after which the frame is whole."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; media-src data:;
 style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}: listen</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{counts}. Press a spectrogram to play it, and where it is pressed is where it starts;
with the keyboard, <kbd>Tab</kbd> and <kbd>Space</kbd>, and <kbd>←</kbd> <kbd>→</kbd> to move by half
a second.{legend}</p>
</header>
<nav aria-label="Emotions">{links}
<label><input type="checkbox" id="onward"> go on with the next clip</label>
<output id="playing" aria-live="polite"></output></nav>
<main>{sections}</main>
<script>{script}</script>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark;
  --page: #fff; --ink: #1b1b1b; --soft: #5c5c5c; --line: #d9d9d9; --mark: #c2185b }
@media (prefers-color-scheme: dark) {
  :root { --page: #16181b; --ink: #ececec; --soft: #a5a8ac; --line: #3a3d42; --mark: #ff7aa8 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 78rem; padding: 0 1.2rem 4rem; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
h1 { font-size: 1.5rem; margin: 1.2rem 0 .2rem }
header p { margin: 0; color: var(--soft); max-width: 52rem }
kbd { border: 1px solid var(--line); border-radius: 3px; padding: 0 .3em; font: inherit; font-size: .9em }
nav { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: center; padding: .7rem 0;
  position: sticky; top: 0; z-index: 1; background: var(--page) }
nav a { color: inherit; text-decoration: none; border-bottom: 3px solid var(--emotion) }
output { color: var(--soft); margin-left: auto }
section { border-top: 3px solid var(--emotion); margin-top: 1.4rem; scroll-margin-top: 3.2rem }
h2 { font-size: 1.2rem; margin: .5rem 0 0 }
h3 { font-size: 1rem; font-weight: 600; margin: .9rem 0 .35rem }
h3 small { color: var(--soft); font-weight: 400; margin-left: .5em }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: .8rem }
figure { margin: 0 }
.player { position: relative; display: block; width: 100%; height: 5.2rem; padding: 0; cursor: pointer;
  overflow: hidden; border: 1px solid var(--line); border-radius: 6px; background: #00204c }
.player img { display: block; width: 100%; height: 100% }
.player:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px }
.player[aria-pressed=true] { border-color: var(--mark); box-shadow: 0 0 0 2px var(--mark) }
.player::after { content: "\\25B6"; position: absolute; left: .45rem; bottom: .35rem;
  width: 1.5rem; height: 1.5rem; border-radius: 50%; background: rgb(0 0 0 / .62); color: #fff;
  font-size: .75rem; line-height: 1.5rem; text-align: center }
.player[aria-pressed=true]::after { content: "\\275A\\275A"; letter-spacing: -.12em }
.head { position: absolute; top: 0; bottom: 0; left: 0; width: 2px; background: var(--mark); display: none }
.player[aria-pressed=true] .head, .player[aria-pressed=true] ~ figcaption .head { display: block }
figcaption { display: flex; flex-wrap: wrap; gap: 0 .7rem; font-size: .8rem; margin-top: .25rem }
figcaption > span, dt { color: var(--soft) }
dl { display: grid; grid-template-columns: 1fr 1fr; gap: 0 .8rem; margin: 0; width: 100% }
dl div { display: flex; justify-content: space-between; gap: .4rem }
details { width: 100% }
summary { cursor: pointer; color: var(--soft) }
figure:has(details[open]) { grid-column: 1 / -1 }
.strips div { display: flex; gap: .6rem; margin-top: .3rem }
.strips span { flex: 0 0 7rem; text-align: right; color: var(--soft) }
.strips b { position: relative; flex: 1; font-weight: 400 }
.strips img { display: block; width: 100%; height: 4.5rem; image-rendering: pixelated }
.scale b { height: 1.4em }
.scale i { position: absolute; font-style: normal; border-left: 1px solid var(--line); padding-left: .25em }
dd { margin: 0; font-variant-numeric: tabular-nums; white-space: nowrap }
"""

# One audio element serves all clips: browsers refuse more than about 75 on a page, and one element
# cannot play two clips at once.
_SCRIPT = """
const sound = new Audio(), players = [...document.querySelectorAll(".player")];
const onward = document.getElementById("onward"), playing = document.getElementById("playing");
let current = null;
function stop() {
  sound.pause();
  if (current) current.setAttribute("aria-pressed", "false");
  playing.textContent = "";
}
function play(player, part) {
  if (player !== current) { stop(); current = player; sound.src = player.dataset.sound; }
  const start = () => {
    if (part !== null && isFinite(sound.duration)) sound.currentTime = part * sound.duration;
  };
  if (sound.readyState) start(); else sound.addEventListener("loadedmetadata", start, {once: true});
  player.setAttribute("aria-pressed", "true");
  playing.textContent = "playing " + player.dataset.name;
  sound.play().catch(error => {
    // Choosing another clip aborts the start of this one, which is no fault.
    if (error.name !== "AbortError") { stop(); playing.textContent = "cannot play: " + error.message; }
  });
}
for (const player of players) {
  player.addEventListener("click", event => {
    const mouse = event.detail > 0, box = player.getBoundingClientRect();
    const part = mouse ? Math.max(0, (event.clientX - box.left) / box.width) : null;
    const onIcon = mouse && event.clientX - box.left < 36 && event.clientY > box.bottom - 36;
    if (player === current && !sound.paused && (!mouse || onIcon)) stop();
    else play(player, onIcon ? null : part);
  });
  player.addEventListener("keydown", event => {
    const step = {ArrowLeft: -0.5, ArrowRight: 0.5}[event.key];
    if (step && player === current) {
      sound.currentTime = Math.max(0, sound.currentTime + step);
      event.preventDefault();
    }
  });
}
sound.addEventListener("ended", () => {
  const next = players[players.indexOf(current) + 1];
  stop();
  if (onward.checked && next) { next.focus(); play(next, 0); }
});
function follow() {
  if (current && sound.duration)
    for (const head of current.closest("figure").querySelectorAll(".head"))
      head.style.left = 100 * sound.currentTime / sound.duration + "%";
  requestAnimationFrame(follow);
}
follow();
"""

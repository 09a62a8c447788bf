"""Strips of a clip on one time axis: its sound, and the length of each layer's states."""

import base64
import io
from collections.abc import Mapping

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from innerear.errors import InputError
from innerear.figures.drawing.style import SEQUENTIAL
from innerear.gram.reading import GramSource, step_counts

WIDTH = 640  # columns of a strip at most
WAVE_HEIGHT = 48
SHADES = 16
RANGE_DB = 60
GREY = 217


def state_norms(grams: Mapping[int, GramSource]) -> NDArray[np.float32]:
    """Return the length of each layer's states in uncond at each step, relative to the layer's median length.

    `grams` are the open Gram files by layer; the first branch is read of a file without uncond.

    Returns
    -------
    [N, L, S] in dB of the median over samples and complete steps; NaN at steps that are padding. Lengths grow
    from layer to layer, which would hide what happens within one.
    """
    levels = []
    for gram in grams.values():
        one = "uncond" if "uncond" in gram.labels("branch") else 0
        mean, product = gram.read("mean_norm", branch=one), gram.read("mean_product", branch=one)
        squared = gram.read("squared", branch=one) + 2 * product + np.square(mean)[:, None]  # [S, N]
        length = np.sqrt(np.maximum(squared, np.finfo(np.float32).tiny))
        complete = np.asarray(gram.read("complete"), bool)
        level = 20 * np.log10(length / np.median(length[complete]))
        levels.append(np.repeat(np.where(complete[:, None], level, np.nan), step_counts(gram), axis=0))
    return np.stack(levels).transpose(2, 0, 1).astype(np.float32)


def by_frame(steps: NDArray, n_frames: int) -> NDArray:
    """Move steps [..., S] to the frames that they complete, [..., T]: step f + max d completes frame f.

    Raises
    ------
    InputError: fewer steps than frames.
    """
    lag = steps.shape[-1] - n_frames  # the largest delay
    if lag < 0:
        raise InputError(f"{steps.shape[-1]} steps are fewer than {n_frames} frames: one clip, one timeline")
    return steps[..., lag:]


def strips(
    wave: NDArray, mel: NDArray, chroma: NDArray, norms: NDArray, *, top: float, span: float
) -> dict[str, str]:
    """Draw the strips of one clip, all from its beginning to its end.

    Parameters
    ----------
    wave : [n] or [n, channels].
    mel : [band, column] in dB, drawn from `top` down 60 dB.
    chroma : [12, T] shares of the pitch classes, C first; NaN where there is no sound.
    norms : [L, T] in dB, drawn from −`span` to `span`.

    Returns
    -------
    Name → PNG as a data URI; low bands, C and the lowest layer at the bottom. NaN is grey.
    """
    shares = chroma / np.maximum(np.nanmax(chroma, initial=1e-9), 1e-9)
    return {
        "waveform": png(_envelope(wave), "Greys"),
        "mel spectrogram": png((mel - top + RANGE_DB) / RANGE_DB),
        "pitch classes": png(shares, rows=4),
        "layers": png((norms + span) / (2 * span), "RdBu_r", rows=8),
    }


def png(values: NDArray, colours: str = SEQUENTIAL, *, rows: int = 1) -> str:
    """Draw values [row, column], 0 to 1, as a PNG data URI, row 0 at the bottom, `rows` high; NaN grey."""
    image = np.repeat(values[::-1], rows, axis=0)
    known = np.isfinite(image)
    shade = np.round(np.clip(np.where(known, image, 0), 0, 1) * (SHADES - 1)).astype(np.uint8)
    picture = Image.fromarray(np.where(known, shade, SHADES).astype(np.uint8))
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, picture.height), Image.Resampling.NEAREST)
    return data_uri(picture, colours)


def data_uri(picture: Image.Image, colours: str) -> str:
    """Return a picture of shades 0 … `SHADES` − 1, and `SHADES` for grey, as a PNG data URI."""
    table = matplotlib.colormaps[colours](np.linspace(0, 1, SHADES))[:, :3]
    picture.putpalette([*(255 * table).astype(np.uint8).ravel().tolist(), GREY, GREY, GREY])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", bits=8, optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _envelope(wave: NDArray) -> NDArray:
    """Draw a waveform as 0 and 1 [row, column]: each column from its smallest to its largest sample."""
    mono = wave.mean(axis=1) if wave.ndim == 2 else wave
    columns = min(WIDTH, len(mono))
    edges = np.linspace(0, len(mono), columns + 1).astype(int)[:-1]
    loudest = max(float(np.abs(mono).max(initial=0)), 1e-9)
    low, high = (reduce.reduceat(mono, edges) / loudest for reduce in (np.minimum, np.maximum))
    level = (np.arange(WAVE_HEIGHT)[:, None] + 0.5) / WAVE_HEIGHT * 2 - 1
    half = 1 / WAVE_HEIGHT
    return ((level >= low - half) & (level <= high + half)).astype(float)


def spread(norms: NDArray) -> float:
    """Return the level that 99 % of norms stay within, for a scale that all clips share."""
    known = np.abs(norms[np.isfinite(norms)])
    return float(np.quantile(known, 0.99)) if known.size and known.max() > 0 else 1.0


def ticks(seconds: float) -> dict[float, float]:
    """Return at most eight round seconds of a clip, each with its place in % of the clip.

    Examples
    --------
    >>> ticks(4.0)
    {0.0: 0.0, 0.5: 12.5, 1.0: 25.0, 1.5: 37.5, 2.0: 50.0, 2.5: 62.5, 3.0: 75.0, 3.5: 87.5}
    """
    step = next(step for step in (0.25, 0.5, 1, 2, 5, 10, 30, 60, np.inf) if seconds / step <= 8)
    marks = np.arange(0, seconds, step).tolist() if np.isfinite(step) else [0.0]
    return {float(mark): 100 * mark / seconds for mark in marks}

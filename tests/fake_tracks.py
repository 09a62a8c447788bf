"""Made tracks: sound files as people bring them."""

import numpy as np
import soundfile

BLOCK = 4096  # libsndfile's Vorbis encoder overflows on long sound


def tune(pitch, seconds, rate, seed=0):
    """Plucked notes around a pitch in Hz, float64 [n] within ±.5."""
    time = np.arange(round(seconds * rate)) / rate
    scale = pitch * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11]) / 12)
    notes = np.random.default_rng(seed).choice(scale, int(4 * seconds) + 1)
    since = time % 0.25
    wave = np.exp(-6 * since) * np.sin(2 * np.pi * notes[(time // 0.25).astype(int)] * time)
    return 0.5 * wave


def write_track(path, seconds=1.0, rate=44_100, channels=1, subtype=None, pitch=220.0, seed=0, wave=None):
    """Write a tune, or `wave` [n], in all channels; the format is that of the suffix."""
    wave = tune(pitch, seconds, rate, seed) if wave is None else wave
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", rate, channels, subtype) as file:
        for start in range(0, len(wave), BLOCK):
            file.write(np.tile(wave[start : start + BLOCK, None], channels))
    return path

"""Processor time of all acoustics of one clip, against the clip's own duration.

Clip and frame features and the mel spectrogram are measured as the rule `acoustics` has it, once librosa
is imported and its loops are compiled; a bare magnitude spectrogram of the same clip, the least that any
acoustic analysis takes, is timed in turn. Medians and ratios are printed. Aim: 2 s for a clip of 8 s on one
core, a ratio of 0.25.

    OMP_NUM_THREADS=1 python benchmarks/acoustics.py [--duration 8] [--rate 32000] [--repeats 7]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import librosa
import numpy as np
from options import count, duration

from innerear.acoustics.clips import clip_features
from innerear.acoustics.frames import frame_features
from innerear.acoustics.spectrogram import mel_spectrogram

FRAME_RATE = 50


def clip(seconds: float, rate: int) -> np.ndarray:
    """Plucked notes at 100 BPM over soft noise, mono."""
    wave = 0.001 * np.random.default_rng(0).normal(size=round(seconds * rate))
    for number, start in enumerate(np.arange(0, seconds - 0.6, 0.6)):
        note = np.arange(round(0.6 * rate)) / rate
        tone = sum(np.sin(2 * np.pi * 220 * 2 ** (number % 12 / 12) * k * note) / k for k in range(1, 7))
        first = round(start * rate)
        wave[first : first + len(note)] += 0.2 * tone * np.exp(-note / 0.15)
    return wave.astype(np.float32)


def timed(measure: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    measure()
    return time.process_time() - start


def main() -> None:
    """Time both in turn and print the ratios to the clip's duration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=duration, default=8)
    parser.add_argument("--rate", type=count, default=32000)
    parser.add_argument("--repeats", type=count, default=7)
    options = parser.parse_args()
    wave = clip(options.duration, options.rate)
    n_frames = round(options.duration * FRAME_RATE)

    def everything() -> None:
        clip_features(wave, options.rate, FRAME_RATE)
        frame_features(wave, options.rate, FRAME_RATE, n_frames)
        mel_spectrogram(wave, options.rate)

    forms = {"all acoustics": everything, "one spectrogram": lambda: np.abs(librosa.stft(wave))}
    for measure in forms.values():
        measure()  # imports and compiles
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(options.repeats):
        for name, measure in forms.items():
            seconds[name].append(timed(measure))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"a clip of {options.duration:g} s at {options.rate} Hz, medians of {options.repeats}")
    for name, median in medians.items():
        print(f"{name}: {median:.3f} s, {median / options.duration:.3f} of the clip's duration")
    print(f"ratio of the two: {medians['all acoustics'] / medians['one spectrogram']:.0f}")


if __name__ == "__main__":
    main()

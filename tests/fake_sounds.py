"""Synthesised sound for tests: tones, plucked notes, chords and noise."""

import librosa
import numpy as np

from innerear.acoustics.clips import clip_features

RATE = 16000
C_MAJOR, C_MINOR = (60, 62, 64, 65, 67, 69, 71, 72), (60, 62, 63, 65, 67, 68, 70, 72)


def measure(wave, rate=RATE):
    return clip_features(np.asarray(wave, np.float32), rate, 50).set_index("feature")


def value(wave, *names, rate=RATE):
    return measure(wave, rate)["value"].loc[list(names)].tolist()


def tone(frequency, seconds=5.0, rate=RATE, harmonics=6):
    time = np.arange(round(seconds * rate)) / rate
    partials = [k for k in range(1, harmonics + 1) if k * frequency < rate / 2]
    return 0.2 * sum(np.sin(2 * np.pi * frequency * k * time) / k for k in partials)


def notes(bpm, pitches=(57,), seconds=5.0, rate=RATE, start=0.13):
    """One plucked note a beat."""
    wave = np.zeros(round(seconds * rate))
    beats = np.arange(start, seconds - 0.03, 60 / bpm)
    for number, onset in enumerate(beats):
        first = round(onset * rate)
        left = (len(wave) - first) / rate
        note = tone(librosa.midi_to_hz(pitches[number % len(pitches)]), min(60 / bpm, left), rate)
        time = np.arange(len(note)) / rate
        wave[first : first + len(note)] += note * np.minimum(time / 0.01, 1) * np.exp(-time / 0.15)
    return wave, len(beats)


def chord(*pitches, seconds=5.0):
    return sum(tone(librosa.midi_to_hz(pitch), seconds) for pitch in pitches)


def noise(seed, seconds=5.0):
    return 0.1 * np.random.default_rng(seed).normal(size=round(seconds * RATE))

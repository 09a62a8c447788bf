"""Pitch classes, key, mode and register, from a constant-Q transform."""

import warnings
from functools import lru_cache

import librosa
import numpy as np
from numpy.typing import NDArray

from innerear.acoustics.features import CHROMA, TONNETZ, Measured, missing
from innerear.acoustics.sound import Sound

MIN_SECONDS = 1.0  # the lowest constant-Q filters are half a second long
BINS_PER_OCTAVE = 36
LOWEST_HZ = 32.703  # C1, MIDI 24
LOWEST_MIDI = 24
PITCHED = 1.5  # strongest over median pitch class; without pitch all twelve are about alike

# Krumhansl & Kessler (1982): how well each pitch class, from the tonic up, fits a key.
MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])


def tonality(sound: Sound) -> Measured:
    """Measure pitch classes, tonal space, key, mode and register of a clip."""
    if short := sound.too_short(MIN_SECONDS):
        return missing("tonality", short)
    cqt = constant_q(sound)[:, sound.active]
    chroma = chroma_frames(cqt).mean(axis=1, keepdims=True)
    tonnetz = librosa.feature.tonnetz(chroma=chroma, sr=sound.sample_rate)[:, 0]
    shares = chroma[:, 0] / chroma.sum()
    values: Measured = dict(zip((*CHROMA, *TONNETZ), map(float, (*shares, *tonnetz)), strict=True))
    if shares.max() < PITCHED * np.median(shares):
        reason = "no pitch class stands out: noise or untuned percussion"
        return missing("tonality", reason) | values
    major, minor = (one.max() for one in key_correlations(shares))
    key = {"key_clarity": float(max(major, minor)), "majorness": float(major - minor)}
    return values | key | {"register": _register(cqt)}


def constant_q(sound: Sound) -> NDArray:
    """Return constant-Q magnitudes [bin, T] from C1 in thirds of a semitone, up to 7 octaves."""
    return sound.frames(_transform(sound.lead_in(sound.wave).tobytes(), sound.sample_rate, sound.hop))


# A clip's features and its frames' ask for the same transform, one after the other.
@lru_cache(maxsize=1)
def _transform(wave: bytes, sample_rate: int, hop: int) -> NDArray:
    """Return `constant_q` of float32 samples, with the frames of their lead-in; not to be written to."""
    # The highest filter must end below the Nyquist frequency.
    octaves = min(7, int(np.log2(0.9 * sample_rate / 2 / LOWEST_HZ)))
    with warnings.catch_warnings():
        # The transform downsamples for each lower octave, where a clip of a second is a short signal.
        warnings.filterwarnings("ignore", message="n_fft=.* is too large", category=UserWarning)
        transform = librosa.cqt(
            np.frombuffer(wave, np.float32),
            sr=sample_rate,
            hop_length=hop,
            fmin=LOWEST_HZ,
            n_bins=octaves * BINS_PER_OCTAVE,
            bins_per_octave=BINS_PER_OCTAVE,
        )
    magnitudes = np.abs(transform)
    magnitudes.flags.writeable = False
    return magnitudes


def chroma_frames(cqt: NDArray) -> NDArray:
    """Fold constant-Q magnitudes [bin, T] into pitch classes [12, T], C first, not normalised."""
    return librosa.feature.chroma_cqt(
        C=cqt, fmin=LOWEST_HZ, norm=None, bins_per_octave=BINS_PER_OCTAVE, n_octaves=7
    )


def key_correlations(chroma: NDArray) -> tuple[NDArray, NDArray]:
    """Correlate a chroma vector [12] with the twelve major and the twelve minor key profiles.

    Returns
    -------
    major, minor : [12] Pearson correlations, tonic C first (Krumhansl 1990).
    """
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    correlations = np.corrcoef(chroma, profiles)[0, 1:]
    return correlations[:12], correlations[12:]


def _register(cqt: NDArray) -> float:
    """Return the median pitch in MIDI numbers: half of the salience lies below it.

    Salience sums the first harmonics of each candidate pitch, weighted by 1/h, so that partials
    do not pass for high notes; squaring it lets the notes outweigh what remains of them.
    """
    frequencies = librosa.cqt_frequencies(len(cqt), fmin=LOWEST_HZ, bins_per_octave=BINS_PER_OCTAVE)
    profile = np.sqrt(np.mean(cqt**2, axis=1, keepdims=True))
    salience = librosa.salience(
        profile, freqs=frequencies, harmonics=[1, 2, 3, 4], weights=[1, 1 / 2, 1 / 3, 1 / 4], fill_value=0.0
    )
    below = np.cumsum(salience[:, 0] ** 2)
    half = int(np.searchsorted(below, below[-1] / 2))
    return LOWEST_MIDI + 12 * half / BINS_PER_OCTAVE

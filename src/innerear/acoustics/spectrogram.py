"""Mel spectrograms for pictures."""

import librosa
import numpy as np
from numpy.typing import NDArray

from innerear.acoustics.sound import WINDOW_S

N_MELS = 64
COLUMNS_PER_SECOND = 50
FLOOR_DB = -100.0


def mel_spectrogram(wave: NDArray, sample_rate: int) -> NDArray[np.float32]:
    """Return the mel spectrogram of a clip [n] or [channels, n], which are averaged, as an image.

    Returns
    -------
    [band, column] levels in dB relative to a full-scale sine, -100 at the least; 64 bands up to
    half the sample rate (in Hz), low to high, 50 columns a second.
    """
    mono = np.atleast_2d(np.asarray(wave, np.float32)).mean(axis=0)
    n_fft = round(WINDOW_S * sample_rate)
    hop = round(sample_rate / COLUMNS_PER_SECOND)
    power = np.abs(librosa.stft(mono, n_fft=n_fft, hop_length=hop)) ** 2
    bands = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=N_MELS, norm=None) @ power
    # A full-scale sine has magnitude n_fft / 4 under a Hann window.
    levels = 20 * np.log10(4 / n_fft) + librosa.power_to_db(bands, amin=1e-12, top_db=None)
    return np.maximum(levels, FLOOR_DB).astype(np.float32)

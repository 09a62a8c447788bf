"""Mel spectrograms are in decibels of full scale."""

import numpy as np
import pytest
from fake_sounds import RATE, tone

from innerear.acoustics.spectrogram import mel_spectrogram


def test_mel_spectrogram_shows_a_full_scale_sine_at_0_db():
    image = mel_spectrogram(tone(1000, harmonics=1) / 0.2, RATE)
    assert image.shape[0] == 64
    assert image[:, 100].max() == pytest.approx(0, abs=1.5)
    assert image.min() >= -100
    assert mel_spectrogram(np.zeros(RATE), RATE).max() == -100

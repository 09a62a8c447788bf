"""Ogg Vorbis of a sound: equal whenever it is encoded, and a stream that decoders accept."""

import io
import time

import numpy as np
import pytest
import soundfile

from innerear.pages.vorbis import vorbis

RATE = 16000


@pytest.fixture
def wave():
    time_axis = np.arange(2 * RATE) / RATE
    return 0.3 * np.sin(2 * np.pi * 220 * time_axis)[:, None] + np.zeros((1, 2))


def test_a_sound_has_the_same_bytes_a_second_later(wave):
    first = vorbis(wave, RATE)
    time.sleep(1.1)  # libsndfile takes the stream's number from the clock's second
    assert vorbis(wave, RATE) == first


def test_each_page_has_a_checksum_that_decoders_accept(wave):
    """A page whose checksum is wrong is skipped, and its sound would be lacking."""
    encoded = vorbis(wave, RATE)
    decoded, rate = soundfile.read(io.BytesIO(encoded))
    assert (rate, decoded.shape) == (RATE, wave.shape)
    assert np.abs(decoded - wave).max() < 0.05
    broken = bytearray(encoded)
    broken[-1000] ^= 1
    assert len(soundfile.read(io.BytesIO(bytes(broken)))[0]) != len(wave)

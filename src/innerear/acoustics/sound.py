"""Prepare a clip for measurement: one channel, no DC, its spectrum, and reasons that disqualify it."""

from dataclasses import dataclass
from functools import cached_property

import librosa
import numpy as np
import pyloudnorm
from numpy.typing import NDArray

from innerear.acoustics.features import Missing
from innerear.errors import InputError
from innerear.io.recordings import CANCEL_DB

SILENCE_DBFS = -70.0  # below this level a clip holds no sound (the absolute gate of BS.1770 is as low)
#: a frame this far below the loudest one holds no sound: its centroid would be that of nothing
ACTIVE_DB = 60.0
WINDOW_S = 0.064  # length of the analysis window; in seconds: equal at all sample rates
LOUDNESS_LUFS = -23.0  # timbre is measured at this loudness (EBU R 128)
GATING_BLOCK_S = 0.4  # block of BS.1770: a shorter clip has no integrated loudness


@dataclass(frozen=True)
class Sound:
    """One clip: `wave` [n] mono and free of DC, and its rates.

    `flaw` is empty, or why nothing can be measured; `clipped`: the share (0-1) of samples at full scale.
    """

    wave: NDArray[np.float32]
    sample_rate: int
    frame_rate: float
    flaw: str
    clipped: float

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return len(self.wave) / self.sample_rate

    def too_short(self, least: float) -> str:
        """Return the reason if the clip is shorter than this many seconds, or an empty string."""
        return f"{self.seconds:.2f} s is shorter than {least:g} s" if self.seconds < least else ""

    @property
    def clipping(self) -> str:
        """Say how much of the clip is clipped."""
        return f"clipped: {100 * self.clipped:.2g} % of samples at full scale"

    @property
    def hop(self) -> int:
        """Samples per codec frame."""
        return round(self.sample_rate / self.frame_rate)

    @property
    def n_fft(self) -> int:
        """Samples per analysis window (even)."""
        return 2 * round(WINDOW_S * self.sample_rate / 2)

    @cached_property
    def loudness(self) -> float | Missing:
        """Integrated loudness in LUFS (ITU-R BS.1770-4), or why there is none."""
        if self.seconds < GATING_BLOCK_S:
            return Missing(f"{self.seconds:.2f} s is shorter than the {GATING_BLOCK_S} s block of loudness")
        loudness = pyloudnorm.Meter(self.sample_rate).integrated_loudness(self.wave.astype(float))
        return float(loudness) if np.isfinite(loudness) else Missing("below the -70 LUFS gate of loudness")

    @cached_property
    def levels(self) -> NDArray:
        """RMS of each frame [T], in dBFS; -inf where there is no signal at all."""
        rms = librosa.feature.rms(y=self.lead_in(self.wave), frame_length=self.n_fft, hop_length=self.hop)
        with np.errstate(divide="ignore"):
            return 20 * np.log10(self.frames(rms)[0])

    @cached_property
    def active(self) -> NDArray[np.bool_]:
        """Frames that hold sound [T]."""
        return (self.levels > self.levels.max(initial=-np.inf) - ACTIVE_DB) & (self.levels > SILENCE_DBFS)

    @cached_property
    def normalised(self) -> NDArray:
        """The wave [n] at -23 LUFS, after `lead_in`; the clip must have a loudness."""
        return self.lead_in(self.wave * 10 ** ((LOUDNESS_LUFS - float(self.loudness)) / 20))

    @cached_property
    def spectrum(self) -> NDArray:
        """Magnitudes [bin, T] of `normalised`, frames centred on codec frames."""
        return self.frames(np.abs(librosa.stft(self.normalised, n_fft=self.n_fft, hop_length=self.hop)))

    def lead_in(self, wave: NDArray) -> NDArray:
        """Prepend half a frame of silence.

        librosa centres frame f at sample f · hop, where codec frame f begins. After half a frame of silence
        its frame f + 1 is centred on codec frame f; `frames` drops the one before.
        """
        return np.pad(wave, (self.hop - self.hop // 2, 0))

    def frames(self, values: NDArray) -> NDArray:
        """Keep the T frames [..., T] of librosa's T + 1 that stand on whole codec frames."""
        return values[..., 1 : len(self.wave) // self.hop + 1]


def as_sound(wave: NDArray, sample_rate: int, frame_rate: float) -> Sound:
    """Check a clip and mix it to one channel without DC.

    Parameters
    ----------
    wave : [n] or [channels, n] floating point, nominally in -1..1.
    sample_rate, frame_rate : Hz, and codec frames per second, which must divide it.

    Raises
    ------
    InputError: not floating point, of another shape, or a frame is not a whole number of samples.
    """
    wave = np.asarray(wave)
    if not np.issubdtype(wave.dtype, np.floating):
        raise InputError(f"wave of dtype {wave.dtype}: give floating point in -1..1 (soundfile reads it so)")
    if wave.ndim not in (1, 2) or wave.size == 0:
        raise InputError(f"wave of shape {wave.shape}: give [n] or [channels, n] with n ≥ 1")
    if wave.ndim == 2 and wave.shape[0] > wave.shape[1]:
        raise InputError(f"wave of shape {wave.shape} has more channels than samples: transpose it")
    if sample_rate % frame_rate:
        raise InputError(
            f"a frame of 1/{frame_rate:g} s is {sample_rate / frame_rate:g} samples at {sample_rate} Hz: "
            "resample the audio to a multiple of the frame rate"
        )
    channels = np.atleast_2d(wave).astype(np.float32)
    bad = int((~np.isfinite(channels)).sum())
    if bad:
        silent = np.zeros(wave.shape[-1], np.float32)
        return Sound(silent, sample_rate, frame_rate, f"{bad} samples are not finite", 0.0)
    centred = channels - channels.mean(axis=1, keepdims=True)
    mono = centred.mean(axis=0)
    with np.errstate(divide="ignore"):
        level, level_of_mono = (10 * np.log10(np.mean(np.square(w, dtype=float))) for w in (centred, mono))
    flaw = "the channels cancel when mixed to mono" if level_of_mono < level + CANCEL_DB else ""
    flaw = f"silent: below {SILENCE_DBFS:g} dBFS" if level < SILENCE_DBFS else flaw
    return Sound(mono, sample_rate, frame_rate, flaw, _clipped_share(channels))


def _clipped_share(channels: NDArray) -> float:
    """Return the share of samples in runs of 3 or more within two 16-bit steps of full scale."""
    ceiling = np.abs(channels).max()
    if ceiling < 0.98:
        return 0.0
    flat = np.abs(channels) >= ceiling - 2 / 2**15
    run = flat[:, :-2] & flat[:, 1:-1] & flat[:, 2:]
    return float(np.count_nonzero(run) / channels.size)

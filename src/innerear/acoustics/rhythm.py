"""Onsets, tempo and pulse, from the onset curve alone: no prior for a usual tempo."""

import librosa
import numpy as np
from numpy.typing import NDArray

from innerear.acoustics.features import Measured, Missing, missing
from innerear.acoustics.sound import Sound

CURVE_RATE = 100  # frames of the onset curve per second: a codec frame is too coarse for a tempo
RANGE_DB = 50.0  # mel levels are cut off this far below the loudest: what flickers there is codec noise
SOUNDING_DB = 10.0  # a band that never rises this far above the floor takes no part
ONSET_DB = 0.7  # a larger rise, averaged over the bands that sound, is an onset
N_MELS = 64
MIN_SECONDS = 1.0
MIN_TEMPO_SECONDS = 2.0
MIN_ONSETS = 4
MIN_CLARITY = 0.3  # with less autocorrelation the onset curve is aperiodic
TEMPO_RANGE = (40.0, 240.0)
FOLD_BPM = 70.0
PULSE = ("tempo", "tempo_folded", "tempo_confidence", "pulse_clarity")
NEARLY_BEST = 0.85  # the shortest period whose autocorrelation comes this near to the best is the pulse


def rhythm(sound: Sound) -> Measured:
    """Measure onset rate and strength, tempo, its confidence, and pulse clarity of a clip."""
    if short := sound.too_short(MIN_SECONDS):
        return missing("rhythm", short)
    levels, rate = _mel_levels(sound)
    onsets, curve = count_onsets(levels, rate), onset_curve(levels)
    values: Measured = {"onset_rate": onsets / sound.seconds, "onset_strength": float(curve.mean())}
    reason = sound.too_short(MIN_TEMPO_SECONDS)
    if not reason and onsets < MIN_ONSETS:
        reason = f"{onsets} onsets: a pulse needs {MIN_ONSETS}"
    return values | (dict.fromkeys(PULSE, Missing(reason)) if reason else _pulse(curve, rate))


def _mel_levels(sound: Sound) -> tuple[NDArray, float]:
    """Return levels [band, time] of the mel bands that sound, in dB, and their frames per second.

    With silent bands in the mean, low-passed clips (calm music) would need larger onsets than bright ones.
    """
    hop = round(sound.sample_rate / CURVE_RATE)
    mel = librosa.feature.melspectrogram(
        y=sound.wave, sr=sound.sample_rate, n_fft=sound.n_fft, hop_length=hop, n_mels=N_MELS
    )
    levels = librosa.power_to_db(mel, ref=np.max, top_db=RANGE_DB)
    levels = levels[levels.max(axis=1) > SOUNDING_DB - RANGE_DB]
    # Windows that hang over the end see an edge, which sounds in all bands like an onset.
    return levels[:, : -(sound.n_fft // 2 // hop)], sound.sample_rate / hop


def onset_curve(levels: NDArray) -> NDArray:
    """Return the mean rise over mel levels [band, time] from frame to frame [time], in dB.

    Not the median over bands: a soft, low-passed rhythm moves fewer than half of them.
    """
    return librosa.onset.onset_strength(S=levels, aggregate=np.mean, center=False)


def count_onsets(levels: NDArray, rate: float) -> int:
    """Count the onsets in mel levels [band, time], 0 to -50 dB; sound at the very start is one.

    The threshold is absolute: librosa's normalised envelope counts ripples in a steady sound.
    """
    silence = np.full((len(levels), round(0.1 * rate)), -RANGE_DB)
    curve = onset_curve(np.hstack([silence, levels]))
    peaks = librosa.onset.onset_detect(
        onset_envelope=curve, sr=round(rate), hop_length=1, normalize=False, delta=ONSET_DB
    )
    return len(peaks)


def _pulse(curve: NDArray, rate: float) -> Measured:
    lags, heights = periodicities(curve, rate)
    clarity = float(heights.max(initial=0.0))
    if clarity < MIN_CLARITY:
        reason = Missing(f"no pulse: clarity {clarity:.2f} < {MIN_CLARITY}")
        return dict.fromkeys(PULSE, reason) | {"pulse_clarity": clarity}
    chosen = int(np.flatnonzero(heights >= NEARLY_BEST * clarity)[0])
    tempo = _within_range(float(60 * rate / lags[chosen]))
    folded = float(FOLD_BPM * 2 ** (np.log2(tempo / FOLD_BPM) % 1))
    return dict(zip(PULSE, (tempo, folded, _confidence(lags, heights, chosen), clarity), strict=True))


def _within_range(tempo: float) -> float:
    """Double or halve a tempo that interpolation has moved past the range of periods searched."""
    lowest, highest = TEMPO_RANGE
    return tempo * 2 if tempo < lowest else tempo / 2 if tempo > highest else tempo


def periodicities(curve: NDArray, rate: float) -> tuple[NDArray, NDArray]:
    """Return the peaks of the onset curve's autocorrelation between 40 and 240 BPM, before interpolation.

    Returns
    -------
    lags : [peak] ascending, in frames, interpolated by a parabola.
    heights : [peak] autocorrelation at the peak, 1 at lag 0, corrected for the shrinking overlap.
    """
    centred = curve - curve.mean()
    overlap = len(curve) - np.arange(len(curve))
    acf = librosa.autocorrelate(centred) / overlap
    acf = acf / acf[0]
    first = int(np.ceil(60 * rate / TEMPO_RANGE[1]))
    last = min(int(60 * rate / TEMPO_RANGE[0]), len(curve) // 2)
    inside = np.arange(first, last + 1)
    left, middle, right = acf[inside - 1], acf[inside], acf[inside + 1]
    peak = (middle > left) & (middle >= right) & (middle > 0)
    left, middle, right = left[peak], middle[peak], right[peak]
    shift = (left - right) / (2 * (left - 2 * middle + right))
    return inside[peak] + shift, np.minimum(middle - (left - right) * shift / 4, 1.0)


def _confidence(lags: NDArray, heights: NDArray, chosen: int) -> float:
    """Return 1 minus the highest rival peak over the chosen one, 0-1.

    Multiples and simple fractions of the chosen period belong to it and are no rivals.
    """
    ratio = lags / lags[chosen]
    kin = np.array([1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 3 / 2, 2, 3, 4, 5, 6])
    related = (np.abs(ratio[:, None] / kin - 1) < 0.06).any(axis=1)
    rival = heights[~related].max(initial=0.0)
    return float(np.clip(1 - rival / heights[chosen], 0, 1))

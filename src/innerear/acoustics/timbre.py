"""Dynamics of the clip as it is, and timbre after normalising loudness, without silent frames."""

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from innerear.acoustics.features import MFCCS, Measured, Missing, missing
from innerear.acoustics.sound import Sound

CLIPPED_PEAK = 1e-4  # share of samples at full scale above which the peak is the converter's, not the music's
#: share of samples at full scale above which level and timbre are audibly not the music's either
CLIPPED_SOUND = 1e-2
N_MELS = 64
MEL_TOP_HZ = 8000.0  # mel bands end here at every sample rate: MFCC can be compared
RANGE_DB = 80.0  # levels this far below the loudest are one level
HP_KERNEL = 31
HP_LIMIT = 1e-6  # share of the energy under which the harmonic or percussive part counts as none (60 dB)


def dynamics(sound: Sound) -> Measured:
    """Measure level, loudness and crest factor of a clip that is not silent."""
    if sound.clipped > CLIPPED_SOUND:
        return missing("dynamics", sound.clipping)
    rms = np.sqrt(np.mean(np.square(sound.wave, dtype=float)))
    crest = float(20 * np.log10(np.abs(sound.wave).max() / rms))
    return {
        "rms": float(20 * np.log10(rms)),
        "loudness": sound.loudness,
        "crest_factor": Missing(sound.clipping) if sound.clipped > CLIPPED_PEAK else crest,
    }


def timbre(sound: Sound) -> Measured:
    """Measure the timbre of a clip: means over its active frames."""
    if flaw := timbre_flaw(sound):
        return missing("timbre", flaw)
    return timbre_means(sound) | {"harmonic_percussive": _harmonic_percussive(sound.spectrum)}


def timbre_means(sound: Sound) -> Measured:
    """Measure all of the timbre but harmonic over percussive energy, which takes longer than the rest."""
    if flaw := timbre_flaw(sound):
        return missing("timbre", flaw)
    return {name: float(np.nanmean(row[sound.active])) for name, row in timbre_frames(sound).items()}


def timbre_flaw(sound: Sound) -> str:
    """Return why timbre cannot be measured, or an empty string."""
    if isinstance(sound.loudness, Missing):
        return f"not normalised: {sound.loudness}"
    return sound.clipping if sound.clipped > CLIPPED_SOUND else ""


def timbre_frames(sound: Sound) -> dict[str, NDArray]:
    """Return each timbre feature over time [T] at -23 LUFS; flux has no first value (NaN)."""
    rate, spectrum = sound.sample_rate, sound.spectrum
    centroid = librosa.feature.spectral_centroid(S=spectrum, sr=rate)
    # Octave bands from 200 Hz: the last may not begin above the Nyquist frequency.
    n_bands = min(6, int(np.ceil(np.log2(rate / 2 / 200))))
    crossings = librosa.feature.zero_crossing_rate(
        sound.normalised, frame_length=sound.n_fft, hop_length=sound.hop
    )
    # Between the partials of clean sound lie rounding errors: without a floor, these would be compared.
    floored = np.maximum(spectrum, spectrum.max() * 10 ** (-RANGE_DB / 20))
    unit = librosa.util.normalize(spectrum, norm=2, axis=0)
    mfcc = librosa.feature.mfcc(S=log_mel(sound), n_mfcc=len(MFCCS) + 1)
    return {
        "centroid": centroid[0],
        "bandwidth": librosa.feature.spectral_bandwidth(S=spectrum, sr=rate, centroid=centroid)[0],
        "rolloff": librosa.feature.spectral_rolloff(S=spectrum, sr=rate)[0],
        "flatness": 10 * np.log10(librosa.feature.spectral_flatness(S=floored)[0]),
        "contrast": librosa.feature.spectral_contrast(S=floored, sr=rate, n_bands=n_bands).mean(axis=0),
        "flux": np.append(np.nan, np.linalg.norm(np.diff(unit, axis=1), axis=0)),
        "zero_crossing_rate": sound.frames(crossings)[0] * rate,
        # Coefficient 0 is the level, which normalisation has removed.
        **dict(zip(MFCCS, mfcc[1:], strict=True)),
    }


def log_mel(sound: Sound) -> NDArray:
    """Return mel levels [band, T] in dB, within 80 dB of the loudest."""
    top = min(MEL_TOP_HZ, sound.sample_rate / 2)
    mel = librosa.feature.melspectrogram(
        S=sound.spectrum**2, sr=sound.sample_rate, n_fft=sound.n_fft, n_mels=N_MELS, fmax=top
    )
    return librosa.power_to_db(mel, top_db=RANGE_DB)


def _harmonic_percussive(spectrum: NDArray) -> float:
    """Return harmonic over percussive energy of a spectrogram [bin, T] in dB.

    Medians along time keep what lasts, medians along frequency what is broad (Fitzgerald 2010).
    As `librosa.decompose.hpss`, whose module takes scikit-learn along: a second in every job.
    """
    lasting, broad = _running_medians(spectrum), _running_medians(spectrum.T).T
    share = librosa.util.softmask(lasting, broad, power=2)
    energies = np.array([np.sum((share * spectrum) ** 2), np.sum(((1 - share) * spectrum) ** 2)], dtype=float)
    energies = np.maximum(energies, HP_LIMIT * energies.sum())
    return float(10 * np.log10(energies[0] / energies[1]))


def _running_medians(rows: NDArray) -> NDArray:
    """Return the medians of HP_KERNEL neighbours along each row of [n, T]; edges are reflected.

    As `median_filter` with the size (1, HP_KERNEL). Of one long row it is nine times as fast, since it then
    keeps its window sorted.
    """
    margin = HP_KERNEL // 2
    joined = np.pad(rows, ((0, 0), (margin, margin)), mode="symmetric")
    return median_filter(joined.ravel(), size=HP_KERNEL).reshape(joined.shape)[:, margin:-margin]

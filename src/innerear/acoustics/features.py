"""The clip features: name, group, unit and meaning, listed once."""

from dataclasses import dataclass

MFCCS = tuple(f"mfcc_{i}" for i in range(1, 14))
CHROMA = tuple(f"chroma_{name}" for name in ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"))
TONNETZ = tuple(f"tonnetz_{circle}_{axis}" for circle in ("fifths", "minor", "major") for axis in "xy")


class Missing(str):
    """The reason for which a clip has no value of a feature."""

    __slots__ = ()


Measured = dict[str, float | Missing]


@dataclass(frozen=True)
class Feature:
    """A clip feature: the group it is measured in, its unit, and what it says."""

    group: str
    unit: str
    meaning: str


FEATURES: dict[str, Feature] = {
    "onset_rate": Feature("rhythm", "1/s", "onsets per second"),
    "onset_strength": Feature("rhythm", "dB", "mean rise of the sounding mel bands per 10 ms"),
    "tempo": Feature("rhythm", "BPM", "fastest pulse that explains the onset curve, 40-240"),
    "tempo_folded": Feature("rhythm", "BPM", "tempo, doubled or halved into 70-140"),
    "tempo_confidence": Feature("rhythm", "", "1 - (best rival period / chosen period), 0-1"),
    "pulse_clarity": Feature("rhythm", "", "highest autocorrelation of the onset curve, 0-1"),
    "rms": Feature("dynamics", "dBFS", "root mean square level"),
    "loudness": Feature("dynamics", "LUFS", "integrated loudness, ITU-R BS.1770-4"),
    "crest_factor": Feature("dynamics", "dB", "peak over root mean square"),
    "centroid": Feature("timbre", "Hz", "mean frequency of the magnitude spectrum: brightness"),
    "bandwidth": Feature("timbre", "Hz", "spread of the magnitude spectrum about its centroid"),
    "rolloff": Feature("timbre", "Hz", "frequency below which 85 % of the magnitude lies"),
    "flatness": Feature("timbre", "dB", "geometric over arithmetic mean of the power spectrum: noisiness"),
    "contrast": Feature("timbre", "dB", "peaks over valleys, mean of octave bands"),
    "flux": Feature("timbre", "", "distance of successive unit-norm spectra, 0-1.41"),
    "zero_crossing_rate": Feature("timbre", "1/s", "sign changes per second"),
    **{name: Feature("timbre", "dB", "mel-frequency cepstral coefficient") for name in MFCCS},
    "harmonic_percussive": Feature("timbre", "dB", "harmonic over percussive energy, -60 to 60"),
    **{name: Feature("tonality", "", "share of the pitch class, 0-1") for name in CHROMA},
    **{name: Feature("tonality", "", "coordinate in tonal space") for name in TONNETZ},
    "key_clarity": Feature("tonality", "", "correlation with the best key profile"),
    "majorness": Feature("tonality", "", "best major minus best minor key correlation"),
    "register": Feature("tonality", "MIDI", "median pitch: half of the tonal energy lies below"),
}


def missing(group: str, reason: str) -> Measured:
    """Return every feature of `group` as missing for one reason."""
    return {name: Missing(reason) for name, feature in FEATURES.items() if feature.group == group}


def feature_label(name: str, unit: str = "") -> str:
    """Return an axis label: the feature's name in words, and its unit, if any.

    Examples
    --------
    >>> feature_label("zero_crossing_rate", "1/s")
    'zero crossing rate (1/s)'
    """
    words = name.replace("harmonic_", "harmonic_over_").replace("_", " ")
    return f"{words} ({unit})" if unit else words

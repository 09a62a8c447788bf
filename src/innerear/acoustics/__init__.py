"""Waveform → clip and frame features, each a value with its validity.

A feature that cannot be measured is NaN with a reason: never 0, and never an estimator's prior.
Dynamics are measured on the clip as it is, timbre after normalising its loudness. The public
names are imported on first use: who only reads measured features does without librosa.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from innerear.acoustics.clip import clip_features
    from innerear.acoustics.features import FEATURES, Feature, feature_label
    from innerear.acoustics.files import frame_files, read_frames, write_frames
    from innerear.acoustics.frames import frame_features
    from innerear.acoustics.measure import measure_clips
    from innerear.acoustics.spectrogram import mel_spectrogram
    from innerear.acoustics.tables import validity

_MODULE_OF = {
    "FEATURES": "features",
    "Feature": "features",
    "clip_features": "clip",
    "feature_label": "features",
    "frame_features": "frames",
    "frame_files": "files",
    "measure_clips": "measure",
    "mel_spectrogram": "spectrogram",
    "read_frames": "files",
    "validity": "tables",
    "write_frames": "files",
}

__all__ = [
    "FEATURES",
    "Feature",
    "clip_features",
    "feature_label",
    "frame_features",
    "frame_files",
    "measure_clips",
    "mel_spectrogram",
    "read_frames",
    "validity",
    "write_frames",
]


def __getattr__(name: str):
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")

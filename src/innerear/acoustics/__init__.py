"""Waveform → clip and frame features, each a value with its validity.

A feature that cannot be measured is NaN with a reason: never 0, and never an estimator's prior.
Dynamics are measured on the clip as it is, timbre after normalising its loudness.
"""

from innerear.acoustics.clip import clip_features
from innerear.acoustics.features import FEATURES, Feature, feature_label
from innerear.acoustics.files import frame_files, measure_clips, read_frames, write_frames
from innerear.acoustics.frames import frame_features
from innerear.acoustics.spectrogram import mel_spectrogram
from innerear.acoustics.tables import validity

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

"""Waveform → clip and frame features, each a value with its validity.

A feature that cannot be measured is NaN with a reason: never 0, and never an estimator's prior. `features`
names them all; reading measured ones does not load librosa.
"""

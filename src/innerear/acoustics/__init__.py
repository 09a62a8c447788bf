"""Waveform → clip and frame features, each a value with its validity.

A feature that cannot be measured is NaN with a reason: never 0, and never an estimator's prior. Module
`features` names them all; it and `frame_files` do without librosa.
"""

from innerear.io.caches import provide_numba_cache

# Before anything below imports librosa.
provide_numba_cache("librosa")

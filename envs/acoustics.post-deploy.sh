#!/usr/bin/env bash
# Compile librosa's loops, once, by one process: jobs that fill numba's cache side by side can spoil it.
set -euo pipefail
python - <<END
import librosa
import numpy as np

spectrum = np.abs(librosa.cqt(np.zeros(32000, np.float32), sr=16000))
librosa.salience(spectrum, freqs=librosa.cqt_frequencies(len(spectrum), fmin=32.7), harmonics=[1])
END

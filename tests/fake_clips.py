"""States averaged over a window, and the sound of clips, made up for tests."""

import numpy as np
import pandas as pd


class Averages:
    """An open Gram file, in memory, that has windows only: branch → states [N, D] or [windows, N, D]."""

    def __init__(self, design, windows=("whole",), **branches):
        self.axes = {"sample": list(design.samples["sample_id"]), "window": list(windows)}
        self.axes["branch"] = list(branches)
        self.states = {name: x.reshape(len(windows), *x.shape[-2:]) for name, x in branches.items()}

    def read(self, name, *, branch, window):
        assert name == "window_mean"
        return self.states[branch][self.axes["window"].index(window)].astype(np.float32)

    def labels(self, axis):
        return self.axes[axis]

    def coords(self, axis):
        return np.array(self.axes[axis])


def clip_table(design, values, names=None, units=None, reason="silent"):
    """Clip features [N, F] as their long table, in dB unless said; NaN has the reason."""
    names = names or [f"f{k}" for k in range(values.shape[1])]
    units = units or ["dB"] * len(names)
    rows = [
        (sample, name, unit, values[i, k], "" if np.isfinite(values[i, k]) else reason)
        for i, sample in enumerate(design.samples["sample_id"])
        for k, (name, unit) in enumerate(zip(names, units, strict=True))
    ]
    return pd.DataFrame(rows, columns=["sample_id", "feature", "unit", "value", "reason"])

"""When along a clip its history says more than the text that is read: one crossing of two noisy curves."""

import numpy as np


def overtaken(text: np.ndarray, history: np.ndarray) -> np.ndarray:
    """Return how many steps pass before history overtakes text, [...] of curves [..., S].

    0: history leads from the start; S: never. The k that makes Σ_{s < k} (text − history) largest: the one
    change from text to history that agrees with as much of both curves as possible. A single noisy
    step does not move it, as it moves the first crossing. Of equal ones the earliest; steps without a
    value count for neither.
    """
    lead = np.nan_to_num(np.asarray(text, float) - history)
    lead = np.concatenate([np.zeros((*lead.shape[:-1], 1)), np.cumsum(lead, axis=-1)], axis=-1)
    return lead.argmax(axis=-1)


def told(k: int, steps: np.ndarray) -> str:
    """Say in words when, for a number that `overtaken` returned of these steps [S]."""
    if k == 0:
        return "from the start"
    return "never within the clip" if k == len(steps) else f"at step {steps[k]}"

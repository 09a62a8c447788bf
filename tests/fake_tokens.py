"""Tokens with a known dictionary, and stacks of them."""

import numpy as np

from innerear.stacks.stack import StackWriter
from innerear.timeline import Timeline


def atoms(d_model=32, n_atoms=64, seed=0):
    """Random directions of length 1, [F, D]."""
    drawn = np.random.default_rng(seed).normal(size=(n_atoms, d_model))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def superposed(known, n_tokens, active=3, seed=1):
    """Tokens [n, D], each a sum of so many atoms."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((n_tokens, len(known)))
    chosen = np.argsort(rng.random(weights.shape), axis=1)[:, :active]
    np.put_along_axis(weights, chosen, rng.uniform(0.5, 1.5, chosen.shape), axis=1)
    return (weights @ known).astype(np.float32)


def write_stack(path, states, layer=0, *, branches=("cond", "uncond"), attrs=None):
    """A stack of states [C, S, D] at one layer; 4 codebooks, so that 3 steps at either end are pads."""
    timeline = Timeline(states.shape[1] - 3, 4, 50.0)
    codes = np.zeros((4, timeline.n_frames), np.int64)
    with StackWriter(path, attrs or {}, codes, timeline, branches, "float32") as stack:
        stack.write("residual", layer, states.astype(np.float32))
    return path

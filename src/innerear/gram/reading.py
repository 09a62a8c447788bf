"""Read a layer's Gram file: its windows and cells, and inner products and cosines of windows."""

from itertools import pairwise
from typing import Protocol

import numpy as np
import pandas as pd

N_DECILES = 10
#: of `named_windows`, those that analyses of averaged states read
WINDOWS = ("whole", "first_10", "last_10")


class GramSource(Protocol):
    """The part of an open `GramFile` that analyses use."""

    def read(self, name: str, **where: str | int | slice) -> np.ndarray:
        """Return a dataset, or the part that `where` selects by axis: a label, a position or a slice."""
        ...

    def labels(self, axis: str) -> list[str]:
        """Return the coordinates of an axis as texts."""
        ...

    def coords(self, axis: str) -> np.ndarray:
        """Return the coordinates of an axis."""
        ...

    def __contains__(self, name: str) -> bool: ...


def named_windows(complete: np.ndarray, n_bins: int = 0) -> dict[str, tuple[int, int]]:
    """Return each window's first and past-the-last step by name; bins are called bin_0, bin_1, …"""
    begin, stop = int(complete.argmax()), int(len(complete) - complete[::-1].argmax())
    windows = {"whole": (begin, stop)}
    n_deciles = N_DECILES if stop - begin >= N_DECILES else 0
    deciles = list(pairwise(np.linspace(begin, stop, n_deciles + 1).round().astype(int).tolist()))
    if deciles:
        windows |= {"first_10": deciles[0], "last_10": deciles[-1]}
    windows |= {f"decile_{i + 1}": span for i, span in enumerate(deciles)}
    edges = np.linspace(begin, stop, n_bins + 1).round().astype(int).tolist()
    return windows | {f"bin_{i}": span for i, span in enumerate(pairwise(edges))}


def cosine(gram: np.ndarray) -> np.ndarray:
    """Divide Gram matrices [..., N, N] by the lengths of their samples; NaN where a length is 0."""
    length = np.sqrt(np.maximum(np.diagonal(gram, axis1=-2, axis2=-1), 0))
    inverse = np.divide(1, length, out=np.full_like(length, np.nan), where=length > 0)
    return gram * inverse[..., :, None] * inverse[..., None, :]


def window_products(
    gram: GramSource,
    branch: str | int,
    window: str | int = "whole",
    rows: np.ndarray | slice = slice(None),
    *,
    standardised: bool = False,
) -> np.ndarray:
    """Return inner products of samples' averages over a window, float32 [n, n]; 0 if all samples are equal.

    Parameters
    ----------
    rows : of which samples; the averages are about the mean of all.
    standardised : of averages that are z-scored by dimension.
    """
    centred, mean = centred_states(gram.read("window_mean", branch=branch, window=window))
    chosen = (z_scored(centred, mean) if standardised else centred)[rows]
    return (chosen @ chosen.T).astype(np.float32)


def centred_states(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return states [N, D] about their mean, and the mean [D]; equal states become 0 exactly."""
    wide = states.astype(float)
    mean = wide.mean(axis=0)
    return wide - mean, mean


def z_scored(centred: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return states [..., N, D] about their mean [..., D] ÷ their spread; 0 in constant dimensions."""
    scale = centred.std(axis=-2)
    constant = scale <= 1e-6 * np.abs(centred + mean[..., None, :]).max(axis=-2)
    return centred * np.where(constant, 0, 1 / np.where(constant, 1, scale))[..., None, :]


def raw_gram(gram: np.ndarray, mean_product: np.ndarray, mean_norm: np.ndarray) -> np.ndarray:
    """Restore the raw inner products X Xᵀ [..., N, N] from arrays of `layer_gram`.

    Parameters
    ----------
    gram [..., N, N], mean_product [..., N], mean_norm [...] : of the same steps.
    """
    shift = mean_product[..., :, None] + mean_product[..., None, :]
    return gram + shift + np.square(mean_norm)[..., None, None]


def analysed_cells(gram: GramSource) -> pd.DataFrame:
    """Return a row per analysed cell: the complete steps (or the first of each group), then the windows."""
    steps = np.flatnonzero(gram.read("complete"))
    first = np.asarray(gram.coords("step"))[steps].tolist()
    windows = gram.labels("window")
    seconds = gram.read("seconds")[steps] if "seconds" in gram else np.full(len(steps), np.nan)
    return pd.DataFrame(
        {
            "over": ["steps"] * len(steps) + ["windows"] * len(windows),
            "step": pd.array([*first, *[None] * len(windows)], dtype="Int64"),
            "seconds": np.r_[seconds, np.full(len(windows), np.nan)],
            "window": [*[""] * len(steps), *windows],
        }
    )


def step_counts(gram: GramSource) -> np.ndarray:
    """Return how many steps each entry of the axis ``step`` averages, [S]."""
    return gram.read("step_count") if "step_count" in gram else np.ones(len(gram.read("complete")), int)

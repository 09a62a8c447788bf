"""Averages over windows and time bins, and sums over prompts of windows."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np

from innerear.gram.prompt_sums import MEASURES, PAIRS, Prompts, all_sums
from innerear.gram.reading import z_scored
from innerear.stacks.gram_file import Arrays


class WindowSums:
    """Sums of features between the windows' edges: about each step's mean over samples, and of these means.

    About the mean, float32 is enough, whatever the mean's size.
    """

    def __init__(self, windows: Mapping[str, tuple[int, int]], shape: tuple[int, int, int]) -> None:
        n_branches, n_samples, d_model = shape
        self.edges = sorted({edge for span in windows.values() for edge in span})
        self.centred = np.zeros((n_branches, len(self.edges) - 1, n_samples, d_model), np.float32)
        self.mean = np.zeros((n_branches, len(self.edges) - 1, d_model))

    def add(self, step: int, centred: np.ndarray, mean: np.ndarray) -> None:
        """Add a step's features [C, N, D] about their mean [C, D] if a window covers it."""
        if self.edges[0] <= step < self.edges[-1]:
            interval = bisect_right(self.edges, step) - 1
            self.centred[:, interval] += centred
            self.mean[:, interval] += mean

    def average(self, weights: np.ndarray, begin: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Average a window, for branches that are `weights` [all, C] × the stored ones.

        Returns features [all, N, D] about their mean over samples, and the mean [all, D].
        """
        between = slice(self.edges.index(begin), self.edges.index(stop))
        weights = weights / (stop - begin)
        centred = np.tensordot(weights, self.centred[:, between].sum(axis=1, dtype=float), 1)
        rest = centred.mean(axis=1)
        centred -= rest[:, None]
        return centred, weights @ self.mean[:, between].sum(axis=1) + rest


def window_arrays(
    sums: WindowSums,
    weights: np.ndarray,
    windows: Mapping[str, tuple[int, int]],
    deterministic: np.ndarray,
    prompts: Prompts | None = None,
) -> Arrays:
    """Return the windows' and bins' arrays, as `layer_gram` documents them.

    Parameters
    ----------
    weights : [C, stored] of each branch.
    windows : of `named_windows`.
    deterministic : bool [C, S]; in a window of such steps alone all samples are equal.
    """
    names = [name for name in windows if not name.startswith("bin_")]
    means = np.empty((len(weights), len(names), *sums.centred.shape[2:]), np.float32)
    arrays: Arrays = {"window_mean": (("branch", "window", "sample", "d_model"), means)}
    if prompts:
        shape = len(weights), len(MEASURES), len(PAIRS), len(names), len(prompts.triangle[0])
        axes = ("branch", "measure", "pairs", "window", "pair")
        arrays["window_sums"] = (axes, np.empty(shape, np.float32))
    for w, name in enumerate(names):
        begin, stop = windows[name]
        centred, mean = sums.average(weights, begin, stop)
        centred[deterministic[:, begin:stop].all(axis=1)] = 0
        means[:, w] = centred + mean[:, None]
        if prompts:
            states = [one.astype(np.float32) for one in (centred, z_scored(centred, mean))]
            arrays["window_sums"][1][:, :, :, w] = all_sums(prompts, prompts.sums(centred), states, mean)
    spans = list(windows.values())[len(names) :]
    edges = np.array(spans, np.int32).reshape(-1, 2)
    bins = _bin_means(sums, weights, windows["whole"], spans)
    arrays["bin_mean"] = (("branch", "bin", "sample", "d_model"), bins)
    arrays["bin_start"], arrays["bin_steps"] = (("bin",), edges[:, 0]), (("bin",), edges[:, 1] - edges[:, 0])
    return arrays


def _bin_means(
    sums: WindowSums, weights: np.ndarray, whole: tuple[int, int], spans: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Return features of the bins about the whole window's mean, float32 [C, bins, N, D]."""
    centre = sums.average(weights, *whole)[1]
    n_samples, d_model = sums.centred.shape[2:]
    bins = np.empty((len(weights), len(spans), n_samples, d_model), np.float32)
    for b, span in enumerate(spans):
        centred, mean = sums.average(weights, *span)
        bins[:, b] = centred + (mean - centre)[:, None]
    return bins

"""Averages over windows and time bins, and the Gram matrices of windows."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np

from innerear.gram.prompt_sums import Prompts, all_sums
from innerear.gram.reading import cosine
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
    deterministic : bool [C, S]; a window of such steps alone has zero products.
    """
    names = [name for name in windows if not name.startswith("bin_")]
    n_samples, d_model = sums.centred.shape[2:]
    shape = (len(weights), len(names), n_samples)
    means, grams, cosines = (np.empty((*shape, n), np.float32) for n in (d_model, n_samples, n_samples))
    reduced: list[np.ndarray] = []
    for w, name in enumerate(names):
        begin, stop = windows[name]
        centred, mean = sums.average(weights, begin, stop)
        means[:, w] = centred + mean[:, None]
        for branch in range(len(weights)):
            constant = deterministic[branch, begin:stop].all()
            gram, scored = _window(centred[branch], mean[branch], constant)
            grams[branch, w], cosines[branch, w] = gram, cosine(scored)
            if prompts:
                raw = means[branch, w] @ means[branch, w].T
                reduced.append(all_sums(prompts, *(one[None].astype(float) for one in (gram, scored, raw))))
    square = ("branch", "window", "sample", "sample_2")
    arrays: Arrays = {
        "window_mean": (("branch", "window", "sample", "d_model"), means),
        "window_gram": (square, grams),
        "window_standardised": (square, cosines),
    }
    if prompts:
        by_window = np.concatenate(reduced)  # [W * C, measures, 2, pairs]
        by_window = by_window.reshape(len(names), len(weights), *by_window.shape[1:])
        axes = ("branch", "measure", "pairs", "window", "pair")
        arrays["window_sums"] = (axes, by_window.transpose(1, 2, 3, 0, 4))
    spans = list(windows.values())[len(names) :]
    edges = np.array(spans, np.int32).reshape(-1, 2)
    bins = _bin_means(sums, weights, windows["whole"], spans)
    arrays["bin_mean"] = (("branch", "bin", "sample", "d_model"), bins)
    arrays["bin_start"], arrays["bin_steps"] = (("bin",), edges[:, 0]), (("bin",), edges[:, 1] - edges[:, 0])
    return arrays


def _window(centred: np.ndarray, mean: np.ndarray, deterministic: np.bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the Gram matrices of a window's features [N, D] about their mean [D], plain and z-scored."""
    if deterministic:
        centred = np.zeros_like(centred)
    scale = centred.std(axis=0)
    constant = scale <= 1e-6 * np.abs(centred + mean).max(axis=0)
    scored = centred * np.where(constant, 0, 1 / np.where(constant, 1, scale))
    return centred @ centred.T, scored @ scored.T


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

"""Permutations of history's share in one template: from products of seeds, and from the cells' Gram matrices.

    python benchmarks/decomposition.py [--steps 403] [--permutations 1000] [--loop 20] [--rounds 3]

4 emotions × 4 seeds × 4 texts. The baseline exchanges the rows and columns of every step's Gram matrix and
takes the share anew, once for each permutation; it runs `--loop` of them. Printed are medians per
permutation, their ratio, and the largest difference of the results.
"""

import argparse
import statistics
import time

import numpy as np
from options import count

from innerear.analyses.text_or_history.cells import HISTORY, PairProducts, contrasts

E, R = 4, 4


def permutations(m: int) -> np.ndarray:
    """Draw orders of the clips of each seed, [m, R, E]."""
    return np.random.default_rng(1).permuted(np.tile(np.arange(E), (m, R, 1)), axis=2)


def from_products(kernel: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Null of history [m, S], kernel [S, R, E, E, R, E, E]."""
    basis, weights = contrasts(E, ["a", "b", "c", "d"])[HISTORY]
    weights = weights.reshape(len(weights), -1)
    flat = kernel.reshape(len(kernel), R, E * E, R, E * E)
    between = [weights @ flat[:, i, :, j] @ weights.T for i, j in zip(*np.triu_indices(R, 1), strict=True)]
    return PairProducts(np.stack(between, axis=1), basis).null(moved)


def one_by_one(kernel: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return the same, the cells themselves being exchanged."""
    null, seeds = np.empty((len(moved), len(kernel))), np.arange(R)[:, None]
    for k, order in enumerate(moved):
        exchanged = kernel[:, seeds, order][:, :, :, :, seeds, order]
        marginal = exchanged.mean(axis=(3, 6))  # [S, R, E, R, E]
        marginal = marginal - marginal.mean(axis=2, keepdims=True)
        marginal = marginal - marginal.mean(axis=4, keepdims=True)
        products = np.einsum("srata->srt", marginal) / E
        null[k] = (products.sum(axis=(1, 2)) - np.einsum("srr->s", products)) / (R * (R - 1))
    return null


def main() -> None:
    """Time both in turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=count, default=403)
    parser.add_argument("--permutations", type=count, default=1000)
    parser.add_argument("--loop", type=count, default=20)
    parser.add_argument("--rounds", type=count, default=3)
    options = parser.parse_args()
    states = np.random.default_rng(0).normal(size=(options.steps, R * E * E, 64))
    kernel = (states @ states.swapaxes(1, 2)).reshape(-1, *2 * (R, E, E))
    moved, took, results = permutations(options.permutations), ([], []), ([], [])
    for _ in range(options.rounds):
        for side, (run, m) in enumerate(((from_products, options.permutations), (one_by_one, options.loop))):
            start = time.perf_counter()
            results[side].append(run(kernel, moved[:m]))
            took[side].append((time.perf_counter() - start) / m)
    ours, baseline = (statistics.median(times) for times in took)
    apart = np.abs(results[0][0][: options.loop] - results[1][0]).max()
    print(f"from products of seeds {1e3 * ours:.3f} ms a permutation, one by one {1e3 * baseline:.1f} ms")
    print(f"{baseline / ours:.0f} times faster; results differ by {apart:.1e} at most")


if __name__ == "__main__":
    main()

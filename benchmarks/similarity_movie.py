"""Cosine similarity of all samples at every step, against a scikit-learn loop and rsatoolbox.

    python benchmarks/similarity_movie.py [--samples 80] [--steps 403] [--width 1024] [--rounds 5]

float16 activations in memory; all sides centre at each step and run in turn; medians are printed.
rsatoolbox is compared where it is installed; it is no part of the environment. Aim: at least twice as
fast as the loop and 8 times as fast as rsatoolbox.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
from options import count
from sklearn.metrics.pairwise import cosine_similarity as sklearn_cosine

from innerear import cosine_similarity


def ours(x: np.ndarray) -> np.ndarray:
    """Our centred cosine, [S, N, N] of x [S, N, D]."""
    return cosine_similarity(x[:, None])


def loop(x: np.ndarray) -> np.ndarray:
    """Centred cosine with scikit-learn, step by step, [S, N, N] of x [S, N, D]."""
    result = []
    for step in x:
        features = step.astype(np.float32)
        result.append(sklearn_cosine(features - features.mean(axis=0)))
    return np.array(result)


def rsatoolbox_movie(x: np.ndarray) -> np.ndarray | None:
    """One minus correlation distance of features [N, D, S], as rsatoolbox lays movies out."""
    import rsatoolbox

    data = rsatoolbox.data.TemporalDataset(
        x.transpose(1, 2, 0).astype(np.float32),
        obs_descriptors={"sample": np.arange(x.shape[1])},
        time_descriptors={"time": np.arange(x.shape[0])},
    )
    movie = rsatoolbox.rdm.calc_rdm_movie(data, method="correlation", descriptor="sample")
    return 1 - movie.get_matrices()


def main() -> None:
    """Time all sides in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=count, default=80)
    parser.add_argument("--steps", type=count, default=403)
    parser.add_argument("--width", type=count, default=1024)
    parser.add_argument("--rounds", type=count, default=5)
    options = parser.parse_args()
    x = np.random.default_rng(0).normal(size=(options.steps, options.samples, options.width))
    x = x.astype(np.float16)
    sides: dict[str, Callable] = {"ours": ours, "scikit-learn loop": loop}
    try:
        import rsatoolbox  # noqa: F401

        sides["rsatoolbox"] = rsatoolbox_movie
    except ImportError:
        print("rsatoolbox is not installed: not compared")
    np.testing.assert_allclose(ours(x), loop(x), atol=1e-4)
    took = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, side in sides.items():
            start = time.perf_counter()
            side(x)
            took[name].append(time.perf_counter() - start)
    best = statistics.median(took["ours"])
    for name, times in took.items():
        print(f"{name} {statistics.median(times):.3f} s, {statistics.median(times) / best:.1f} times ours")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()

"""The Gram pass of one layer against reading the same bytes with plain h5py.

    python benchmarks/gram_pass.py [--samples 80] [--steps 403] [--width 1024] [--rounds 5]

Both sides read the same made-up stacks in turn; medians are printed. Aim: at most 1.5 times the reading.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from innerear.gram import layer_gram


def write_stacks(folder: Path, n_samples: int, n_steps: int, width: int) -> list[Path]:
    """Write stacks laid out as the workflow's: float16 [branch, step, d_model], checksummed."""
    rng, paths = np.random.default_rng(0), []
    for sample in range(n_samples):
        paths.append(folder / f"{sample}.h5")
        with h5py.File(paths[-1], "w") as file:
            values = rng.normal(size=(2, n_steps, width)).astype(np.float16)
            file.create_dataset("layer", data=values, chunks=(1, min(n_steps, 64), width), fletcher32=True)
    return paths


def read_plainly(paths: list[Path]) -> None:
    """Read every byte, as little as can be done."""
    for path in paths:
        with h5py.File(path) as file:
            file["layer"][:]


def gram_pass(paths: list[Path], n_steps: int) -> None:
    """Do what the rule `gram` does with one layer."""

    def read(sample: int, steps: slice) -> np.ndarray:
        with h5py.File(paths[sample]) as file:
            return file["layer"][:, steps]

    complete = np.ones(n_steps, bool)
    complete[:3] = complete[-3:] = False
    layer_gram(read, len(paths), complete)


def main() -> None:
    """Time both sides in turn and print medians, their ratio and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=80)
    parser.add_argument("--steps", type=int, default=403)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    plain, passed = [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = write_stacks(Path(folder), options.samples, options.steps, options.width)
        for _ in range(options.rounds):
            start = time.perf_counter()
            read_plainly(paths)
            plain.append(time.perf_counter() - start)
            start = time.perf_counter()
            gram_pass(paths, options.steps)
            passed.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    ours, theirs = statistics.median(passed), statistics.median(plain)
    print(
        f"plain h5py {theirs:.2f} s, Gram pass {ours:.2f} s, ratio {ours / theirs:.2f}, peak {peak:.0f} MiB"
    )


if __name__ == "__main__":
    main()

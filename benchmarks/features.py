"""Sparse features of one layer: reading its tokens, encoding them, and training on them, on one thread.

Reading is timed in turn with plain h5py on the same files, and with h5py, the hash of what was read, and its
conversion to float32: what no reader of compared tokens can save. Files come from the page cache.
"""

import argparse
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import process_time

from options import count

os.environ["OMP_NUM_THREADS"] = "1"

import h5py
import numpy as np
import torch

from innerear.features.dictionary import Dictionary
from innerear.features.tokens import TokenSteps
from innerear.features.training import train
from innerear.stacks import StackWriter
from innerear.timeline import Timeline

NAME = "residual/layer_00"
_FLOOR = "h5py, hash, float32"


def write_stacks(folder: Path, n_clips: int, seconds: int, d_model: int, layers: int) -> list[Path]:
    """Write stacks of random states, with as many layers as a model has."""
    rng, timeline = np.random.default_rng(0), Timeline(50 * seconds, 4, 50.0)
    paths = [folder / f"{number}.h5" for number in range(n_clips)]
    for path in paths:
        with StackWriter(path, {}, np.zeros((4, timeline.n_frames), int), timeline) as writer:
            for layer in range(layers):
                states = rng.standard_normal((2, timeline.n_steps, d_model), np.float32)
                writer.write("residual", layer, states)
    return paths


def read_plainly(paths: Sequence[Path], *, compared: bool = False) -> None:
    """Read a layer of all files with h5py."""
    for path in paths:
        with h5py.File(path, "r", locking=False) as file:
            dataset: h5py.Dataset = file[NAME]  # pyright: ignore[reportAssignmentType]
            values = dataset[:]
        if compared:
            hashlib.sha256(values).digest()
            values.astype(np.float32)


def measure(shape: Sequence[int], n_latents: int, k: int, rounds: int) -> None:
    """Print medians of CPU time of each way, taken in turn."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_stacks(Path(folder), *shape)
        steps = TokenSteps(paths[0])
        tokens = np.concatenate([steps.read(path, 0, ["uncond"])[0] for path in paths])
        dictionary = train(tokens, n_latents, k, steps=2)

        def encode() -> None:
            dictionary.encode(torch.from_numpy(tokens))

        def read() -> None:
            for path in paths:
                steps.read(path, 0, ["cond", "uncond"])

        ways = {
            "h5py": lambda: read_plainly(paths),
            _FLOOR: lambda: read_plainly(paths, compared=True),
            "read tokens": read,
            "encode": encode,
        }
        found = {name: median(taken) for name, taken in _in_turn(ways, rounds).items()}
        for name, taken in found.items():
            n = len(tokens) if name == "encode" else 2 * len(tokens)
            print(f"  {name:20} {taken / len(paths) * 1e3:6.2f} ms a clip, {n / taken / 1e3:6.0f} k tokens/s")
        for name in ("h5py", _FLOOR):
            print(f"  reading at {found[name] / found['read tokens']:.2f} of {name}")
        _train(tokens, dictionary)


def _in_turn(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = process_time()
            way()
            taken[name].append(process_time() - start)
    return taken


def _train(tokens: np.ndarray, dictionary: Dictionary, steps: int = 50) -> None:
    start = process_time()
    train(tokens, dictionary.n_latents, dictionary.k, steps=steps)
    print(f"  train                {512 * steps / (process_time() - start) / 1e3:6.0f} k tokens/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=count, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print("nano: 80 clips of 4 s, 6 layers, D 96, 192 latents, k 8")
    measure((80, 4, 96, 6), 192, 8, rounds)
    print("MusicGen small: 24 clips of 8 s, 2 layers, D 1024, 1,024 latents, k 32")
    measure((24, 8, 1024, 2), 1024, 32, max(1, rounds // 5))

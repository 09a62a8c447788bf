"""The Gram pass of one layer against reading the same bytes with plain h5py.

    python benchmarks/gram_pass.py [--samples 80] [--steps 403] [--width 1024] [--rounds 5] [--folder /tmp]

Both sides read the same made-up stacks in turn, once from the disk (the page cache is emptied of them before)
and once from the page cache; medians of wall and CPU seconds are printed. Beside them the bare products
of the pass, of features that are there already. Aim: at most 1.5 times the CPU time of reading and products.
The last two do what no pass can leave out: read and check that all is as it was written; and of states in
memory widen, centre, z-score, form the five kinds of cosines, multiply and keep, in float32.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from options import count

from innerear.gram.layer_pass import stacks_gram
from innerear.gram.prompt_sums import Prompts
from innerear.stacks import LayerReader, StackWriter
from innerear.stacks.widening import widened
from innerear.timeline import Timeline

K = 4
# Seeds of a prompt, and prompts of a template.
SEEDS, PROMPTS = 4, 4


def write_stacks(folder: Path, n_samples: int, n_steps: int, width: int) -> list[Path]:
    """Write stacks of one layer, float16."""
    rng, paths = np.random.default_rng(0), []
    timeline = Timeline(n_frames=n_steps - K + 1, n_codebooks=K, frame_rate=50)
    for sample in range(n_samples):
        paths.append(folder / f"{sample}.h5")
        codes = np.zeros((K, timeline.n_frames), np.int16)
        with StackWriter(paths[-1], {"study": "made up"}, codes, timeline) as stack:
            stack.write("residual", 0, rng.normal(size=(2, n_steps, width)))
    return paths


def read_plainly(paths: list[Path]) -> None:
    """Read every byte, as little as can be done."""
    for path in paths:
        with h5py.File(path) as file:
            file["residual/layer_00"][:]


def read_checked(paths: list[Path]) -> None:
    """Read every byte, and compare it with what was written."""
    for path in paths:
        with LayerReader(path, 0) as reader:
            reader.read(slice(None))


def gram_pass(paths: list[Path]) -> int:
    """Do what the rule `gram` does with one layer of prompts of 4 seeds; return the bytes of its results."""
    number = np.arange(len(paths))
    prompts = Prompts(number // SEEDS, number % SEEDS, number // (SEEDS * PROMPTS))
    arrays, _, _ = stacks_gram(paths, [path.stem for path in paths], 0, prompts=prompts, pairs=False)
    return sum(values.nbytes for _, values in arrays.values())


def bare_products(n_samples: int, n_steps: int, width: int) -> Callable:
    """Return a side that only multiplies all samples, in float32: three branches, plain and z-scored."""
    features = np.random.default_rng(0).normal(size=(3, n_samples, width)).astype(np.float32)

    def multiply(_: list[Path]) -> None:
        for _ in range(2 * n_steps):
            features @ features.swapaxes(-1, -2)

    return multiply


def least_work(n_samples: int, n_steps: int, width: int) -> Callable:
    """Return a side that does what no pass can leave out, of states in memory, in float32 throughout.

    Cosines are formed from states and then summed over seeds: of centred states, of what templates leave,
    of both z-scored, and of states as they are.
    """
    stored = np.random.default_rng(0).normal(size=(2, n_samples, width)).astype(np.float16)
    features = np.empty((3, n_samples, width), np.float32)
    room, weights = np.empty_like(features), np.array([[1, 0], [0, 1], [1, -1]], np.float32)

    def sums(states: np.ndarray) -> list[np.ndarray]:
        seeds = states.reshape(3, n_samples // SEEDS, SEEDS, width)
        sides = seeds.sum(axis=2), seeds.reshape(3, len(seeds[0]), -1)
        return [side @ side.swapaxes(-1, -2) for side in sides]

    def cosines(states: np.ndarray) -> list[np.ndarray]:
        lengths = np.sqrt(np.einsum("cnd,cnd->cn", states, states))
        return sums(np.multiply(states, (1 / lengths)[..., None], out=room))

    def within_templates() -> np.ndarray:
        templates = features.reshape(3, -1, PROMPTS * SEEDS, width)
        np.subtract(templates, templates.mean(axis=2, keepdims=True), out=room.reshape(templates.shape))
        return room

    def work(_: list[Path]) -> None:
        n_prompts = n_samples // SEEDS
        kept = np.empty((n_steps, 6, 2, 3, n_prompts, n_prompts), np.float32)
        for step in kept:
            widened(stored, features[:2])
            mean = features[:2].mean(axis=1)
            features[:2] -= mean[:, None]
            np.subtract(features[0], features[1], out=features[2])
            raw = np.add(features, (weights @ mean)[:, None], out=room)
            step[0], step[1] = sums(features), cosines(raw)
            step[2], step[3] = cosines(features), cosines(within_templates())
            scale = 1 / np.sqrt(np.einsum("cnd,cnd->cd", features, features))
            np.multiply(features, scale[:, None], out=features)
            step[4], step[5] = cosines(features), cosines(within_templates())

    return work


def empty_cache(paths: list[Path]) -> None:
    """Let the next reading of the files come from the disk."""
    for path in paths:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def from_disk() -> int:
    """Bytes that this process has had fetched from the disk (Linux)."""
    lines = Path("/proc/self/io").read_text("utf-8").splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])


def measure(side: Callable, paths: list[Path]) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and MB read from the disk of one side."""
    wall, cpu, disk = time.perf_counter(), time.process_time(), from_disk()
    side(paths)
    return time.perf_counter() - wall, time.process_time() - cpu, (from_disk() - disk) / 1e6


def peak_mb() -> float:
    """Peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Time both sides in turn and print medians, their ratio and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=count, default=80)
    parser.add_argument("--steps", type=count, default=403)
    parser.add_argument("--width", type=count, default=1024)
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--folder", help="where the stacks are made, on the disk in question")
    options = parser.parse_args()
    took = {(cache, side): [] for cache in ("disk", "cache") for side in (read_plainly, gram_pass)}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        paths = write_stacks(Path(folder), options.samples, options.steps, options.width)
        read_plainly(paths)
        before = peak_mb()
        results = gram_pass(paths) / 2**20
        peak = peak_mb() - before
        shape = options.samples, options.steps, options.width
        alone = {"products": bare_products(*shape), "reading": read_checked, "work": least_work(*shape)}
        beside = {name: [] for name in alone}
        for _ in range(options.rounds):
            for name, side in alone.items():
                beside[name].append(measure(side, paths)[1])
            for cache, side in took:
                if cache == "disk":
                    empty_cache(paths)
                took[cache, side].append(measure(side, paths))
    medians = {key: np.median(times, axis=0) for key, times in took.items()}
    for cache in ("disk", "cache"):
        (theirs, their_cpu, disk), (ours, our_cpu, _) = (
            medians[cache, read_plainly],
            medians[cache, gram_pass],
        )
        print(
            f"from the {cache} ({disk:.0f} MB fetched): plain h5py {theirs:.2f} s, {their_cpu:.2f} s of CPU; "
            f"Gram pass {ours:.2f} s, {our_cpu:.2f} s of CPU; "
            f"{ours / theirs:.2f} times as long, {our_cpu / their_cpu:.2f} of CPU"
        )
    bare, checked, least = (np.median(times) for times in beside.values())
    reading, ours = (medians["cache", side][1] for side in (read_plainly, gram_pass))
    print(
        f"the matrix products alone {bare:.2f} s of CPU: the pass takes {ours / (reading + bare):.2f} times "
        f"the CPU time of plain reading and products; what cannot be left out, reading with checks "
        f"{checked:.2f} s and the least work {least:.2f} s, {(checked + least) / (reading + bare):.2f} times"
    )
    print(f"the pass took {peak:.0f} MiB beside h5py and NumPy, {results:.0f} of them its results")


if __name__ == "__main__":
    main()

"""Samples per minute with all seeds of a prompt in one job, against a job for each pair.

Each job is a process of its own that imports, loads nano and generates, on one core, as the rule `generate`
has it. The two forms take turns; the medians and their ratio are printed, by the clock and by processor time,
which other work on the machine disturbs less. Aim: at least 3.

    python benchmarks/batching.py [--seeds 8] [--duration 4] [--repeats 3]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

JOB = """
import sys
from pathlib import Path
from innerear.conditions import Prompt, Sample
from innerear.generation import generate_samples
from innerear.models import load_model

folder, duration, *seeds = sys.argv[1:]
prompt = Prompt("piano-happy", "a happy solo piano piece", "piano", "happy")
samples = [Sample(prompt, int(seed)) for seed in seeds]
generate_samples(
    load_model("nano", device="cpu"),
    samples,
    [Path(folder, f"{sample.id}.h5") for sample in samples],
    [Path(folder, f"{sample.id}.wav") for sample in samples],
    study="benchmark",
    capture={"layers": "all", "dtype": "float16"},
    generation={"duration": float(duration), "guidance": 3.0, "temperature": 1.0, "top_k": 250, "top_p": 0.0},
)
"""


def seconds(jobs: list[list[str]], duration: float) -> tuple[float, float]:
    """Seconds by the clock and of the processor, of the jobs one after another, each given its seeds."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        for seeds in jobs:
            command = [sys.executable, "-c", JOB, folder, str(duration), *seeds]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return time.perf_counter() - start, cpu


def main() -> None:
    """Time both forms in turn and print samples per minute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--duration", type=float, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    seeds = [str(seed) for seed in range(options.seeds)]
    forms = {"pair": [[seed] for seed in seeds], "prompt": [seeds]}
    rates = {name: [] for name in forms}
    for _ in range(options.repeats):
        for name, jobs in forms.items():
            rates[name].append([60 * len(seeds) / one for one in seconds(jobs, options.duration)])
    median = {
        name: [statistics.median(one) for one in zip(*values, strict=True)] for name, values in rates.items()
    }
    print(f"{options.seeds} seeds of one prompt, {options.duration:g} s clips, {options.repeats} repeats")
    print("samples per minute     by the clock   of processor time")
    for name, (wall, cpu) in median.items():
        print(f"batch {name:<14} {wall:14.1f} {cpu:19.1f}")
    wall, cpu = (prompt / pair for prompt, pair in zip(median["prompt"], median["pair"], strict=True))
    print(f"ratio {wall:29.2f} {cpu:19.2f}")


if __name__ == "__main__":
    main()

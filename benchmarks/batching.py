"""Samples a minute with a job for each pair, for each prompt, and for all prompts.

Each job is a process of its own that imports, loads nano and generates, on one core, as the rule `generate`
has it. The forms take turns; the medians and their ratios are printed, by the clock and by processor time,
which other work on the machine disturbs less. Aim: at least 3 for a prompt of 8 seeds.

    python benchmarks/batching.py [--prompts 2] [--seeds 8] [--duration 4] [--repeats 3]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from options import count, duration

JOB = """
import sys
from pathlib import Path
from innerear.capture.jobs import generate_missing
from innerear.models import load_model
from innerear.study.prompts import Prompt, Sample

folder, duration, *clips = sys.argv[1:]
texts = [f"a {word} solo piano piece" for word in ("happy", "sad", "calm", "angry")]
pairs = [map(int, clip.split(":")) for clip in clips]
samples = [Sample(Prompt(f"piano-{i}", texts[i % 4], "piano", "happy"), seed) for i, seed in pairs]
generate_missing(
    load_model("nano", device="cpu"),
    samples,
    [Path(folder, f"stacks/{sample.id}.h5") for sample in samples],
    [Path(folder, f"audio/{sample.id}.wav") for sample in samples],
    unfinished=Path(folder, "unfinished"),
    batch_size=16,
    study="benchmark",
    capture={"layers": "all", "dtype": "float16"},
    generation={"duration": float(duration), "guidance": 3.0, "temperature": 1.0, "top_k": 250, "top_p": 0.0},
)
"""


def seconds(jobs: list[list[str]], duration: float) -> tuple[float, float]:
    """Seconds by the clock and of the processor, of the jobs one after another, each given its clips."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        for clips in jobs:
            command = [sys.executable, "-c", JOB, folder, str(duration), *clips]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return time.perf_counter() - start, cpu


def main() -> None:
    """Time the forms in turn and print samples a minute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=count, default=2)
    parser.add_argument("--seeds", type=count, default=8)
    parser.add_argument("--duration", type=duration, default=4)
    parser.add_argument("--repeats", type=count, default=3)
    options = parser.parse_args()
    prompts = [[f"{prompt}:{seed}" for seed in range(options.seeds)] for prompt in range(options.prompts)]
    clips = [clip for clips in prompts for clip in clips]
    forms = {"pair": [[clip] for clip in clips], "prompt": prompts, "all": [clips]}
    rates = {name: [] for name in forms}
    for _ in range(options.repeats):
        for name, jobs in forms.items():
            rates[name].append([60 * len(clips) / one for one in seconds(jobs, options.duration)])
    print(
        f"{options.prompts} prompts, {options.seeds} seeds, {options.duration:g} s, {options.repeats} repeats"
    )
    print("samples a minute     by the clock   of processor time   ÷ pair")
    medians = {
        name: [statistics.median(one) for one in zip(*values, strict=True)] for name, values in rates.items()
    }
    for name, (wall, cpu) in medians.items():
        print(f"batch {name:<12} {wall:14.1f} {cpu:19.1f} {cpu / medians['pair'][1]:8.2f}")


if __name__ == "__main__":
    main()

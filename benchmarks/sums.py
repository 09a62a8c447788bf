"""CPU time and peak memory of the map analyses of one layer, on a made-up Gram file in memory.

    python benchmarks/sums.py [--templates 5] [--emotions 4] [--seeds 4] [--against FOLDER] [--rounds 3]

Of `--distinct` steps that are passed over, `--steps` are analysed: the same again and again, which takes as
long and leaves more of the memory to the analyses. `--against` names a checkout of another version, which
runs in turn.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from options import count

PERMUTATIONS = 1000


class InMemory:
    """What an open `GramFile` would give; its steps are repeated."""

    def __init__(self, arrays: dict, axes: dict, samples: pd.DataFrame, n_steps: int) -> None:
        self.arrays, self.axes = arrays, axes | {"sample": np.array(samples["sample_id"])}
        self.axes["sample_2"] = self.axes["sample"]
        self.repeat = np.arange(n_steps) % len(axes["step"])
        self.axes["step"] = np.arange(n_steps, dtype=np.int32)

    def read(self, name, **where):
        """Return an array or a part of it; of steps no more than are asked for are repeated."""
        axes, values = self.arrays[name]
        steps = self.repeat[where.pop("step", slice(None))]
        places = {
            axis: self.labels(axis).index(one) if isinstance(one, str) else one for axis, one in where.items()
        }
        found = values[tuple(places.get(axis, slice(None)) for axis in axes)]
        left = [axis for axis in axes if isinstance(places.get(axis, slice(None)), slice)]
        return np.take(found, steps, axis=left.index("step")) if "step" in left else found.copy()

    def labels(self, axis):
        """Return the coordinates of an axis as texts."""
        return [str(label) for label in self.axes[axis]]

    def coords(self, axis):
        """Return the coordinates of an axis."""
        return self.axes[axis]

    def __contains__(self, name):
        return name in self.arrays


def measure(options: argparse.Namespace) -> dict[str, float]:
    """CPU seconds a layer of each analysis and of the pass, and peak memory in MiB, of the code in use."""
    try:
        from innerear.analyses import discriminability, emergence, similarity
        from innerear.analyses.layer import analyse
        from innerear.gram.layer_pass import layer_gram
        from innerear.gram.prompt_sums import Prompts
        from innerear.statistics.design import Design
    except ImportError:
        return measure_first_version(options)
    samples = sheet(options)
    design = Design(samples, n_permutations=PERMUTATIONS)
    further = {"prompts": Prompts.of(samples), "pairs": False}
    gram, took = passed(layer_gram, samples, options, further)
    for analysis in (similarity, discriminability, emergence):
        start = time.process_time()
        analyse(analysis, gram, design, model="made up", layer=0)
        took[analysis.__name__.rpartition(".")[-1]] = time.process_time() - start
    return took | {"peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}


def measure_first_version(options: argparse.Namespace) -> dict[str, float]:
    """The same of the first version, whose modules had other names."""
    from innerear.design import Design
    from innerear.discriminability import layer_discriminability
    from innerear.emergence import layer_emergence
    from innerear.gram import layer_gram
    from innerear.similarity import layer_similarity

    samples = sheet(options)
    gram, took = passed(layer_gram, samples, options, {})
    sizes = {"n_permutations": PERMUTATIONS, "n_bootstraps": 1000}
    for analysis in (layer_similarity, layer_discriminability, layer_emergence):
        start = time.process_time()
        analysis(gram, Design(samples), model="made up", layer=0, **sizes)
        took[analysis.__name__.removeprefix("layer_")] = time.process_time() - start
    return took | {"peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}


def passed(layer_gram, samples, options, further):
    """The Gram file of made-up states, and the CPU seconds of its pass over all steps."""
    shape = (2, options.distinct, options.width)

    def read(sample: int, steps: slice) -> np.ndarray:
        return np.random.default_rng(sample).normal(size=shape).astype(np.float16)[:, steps]

    start = time.process_time()
    arrays, axes = layer_gram(
        read, len(samples), np.ones(options.distinct, bool), memory_mb=4096, n_bins=2, **further
    )
    took = (time.process_time() - start) * options.steps / options.distinct
    gram = InMemory(arrays, axes, samples, options.steps)
    return gram, {"pass, with making the states": took}


def sheet(options: argparse.Namespace) -> pd.DataFrame:
    """Emotions × templates × seeds."""
    rows = [
        (f"{t}-{e}/{seed}", f"{t}-{e}", str(t), str(e), seed)
        for t in range(options.templates)
        for e in range(options.emotions)
        for seed in range(options.seeds)
    ]
    return pd.DataFrame(rows, columns=pd.Index(["sample_id", "prompt_id", "template", "emotion", "seed"]))


def main() -> None:
    """Run each side in a process of its own, in turn; print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--templates", type=count, default=5)
    parser.add_argument("--emotions", type=count, default=4)
    parser.add_argument("--seeds", type=count, default=4)
    parser.add_argument("--steps", type=count, default=403)
    parser.add_argument("--distinct", type=count, default=24)
    parser.add_argument("--width", type=count, default=1024)
    parser.add_argument("--rounds", type=count, default=3)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--once", action="store_true")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(measure(options)))
        return
    sides = {"these sums": Path(__file__).parents[1]}
    if options.against:
        if not (options.against / "src/innerear").is_dir():
            parser.error(
                f"--against {options.against}: no checkout of Inner Ear, for src/innerear is not there"
            )
        sides["the other version"] = options.against
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, folder in sides.items():
            env = os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--once"],
                env=env,
                check=True,
                capture_output=True,
                text=True,
            )
            runs[name].append(json.loads(done.stdout.splitlines()[-1]))
    for name, found in runs.items():
        medians = {what: statistics.median(one[what] for one in found) for what in found[0]}
        maps = sum(medians[what] for what in ("similarity", "discriminability", "emergence"))
        said = ", ".join(f"{what} {value:.1f}" for what, value in medians.items())
        print(f"{name}: map analyses {maps:.1f} CPU s a layer ({said})")


if __name__ == "__main__":
    main()

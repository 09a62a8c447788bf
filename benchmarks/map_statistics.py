"""Time and peak memory of all map statistics of one layer, on a made-up Gram file in memory.

    python benchmarks/map_statistics.py [--steps 403] [--width 1024] [--permutations 1000] [--rounds 3]

4 emotions × 5 templates × 4 seeds. Aim at the defaults: 60 s and 3 GB in all.
"""

import argparse
import resource
import statistics
import time

import numpy as np
import pandas as pd

from innerear.analyses import discriminability, emergence, generalisation
from innerear.analyses.layer import analyse
from innerear.gram.layer_pass import layer_gram
from innerear.statistics.design import Design

ANALYSES = (discriminability, emergence, generalisation)


class InMemory:
    """What an open `GramFile` would give."""

    def __init__(self, design: Design, n_steps: int, width: int) -> None:
        shape = (2, n_steps, width)

        def read(sample: int, steps: slice) -> np.ndarray:
            return np.random.default_rng(sample).normal(size=shape).astype(np.float16)[:, steps]

        complete = np.ones(n_steps, bool)
        complete[:3] = complete[-3:] = False
        self.arrays, self.axes = layer_gram(read, design.n_samples, complete, memory_mb=2048)
        self.axes["sample"] = np.array(design.samples["sample_id"])

    def read(self, name, **where):
        """Return an array or a part of it."""
        axes, values = self.arrays[name]
        places = {
            axis: self.labels(axis).index(one) if isinstance(one, str) else one for axis, one in where.items()
        }
        return values[tuple(places.get(axis, slice(None)) for axis in axes)].copy()

    def labels(self, axis):
        """Return the coordinates of an axis as texts."""
        return [str(label) for label in self.axes[axis]]

    def coords(self, axis):
        """Return the coordinates of an axis."""
        return self.axes[axis]

    def __contains__(self, name):
        return name in self.arrays


def main() -> None:
    """Run each analysis several times; print medians and the peak memory of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=403)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = [
        (f"{t}-{e}/{seed}", f"{t}-{e}", str(t), e, seed)
        for e in ("happy", "sad", "calm", "energetic")
        for t in range(5)
        for seed in range(4)
    ]
    columns = pd.Index(["sample_id", "prompt_id", "template", "emotion", "seed"])
    design = Design(pd.DataFrame(rows, columns=columns), n_permutations=options.permutations)
    gram = InMemory(design, options.steps, options.width)
    took = {analysis.__name__: [] for analysis in ANALYSES}
    for _ in range(options.rounds):
        for analysis in ANALYSES:
            start = time.perf_counter()
            analyse(analysis, gram, design, model="made up", layer=0)
            took[analysis.__name__].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in took.items()}
    for name, median in medians.items():
        print(f"{name} {median:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(f"all map statistics {sum(medians.values()):.1f} s, peak {peak:.0f} MiB with the Gram itself")


if __name__ == "__main__":
    main()

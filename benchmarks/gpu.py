"""All that is claimed of a GPU, in one table: run it through `gpu.sh`.

The language model has MusicGen-large's shape and random weights, so that no checkpoint is needed; tokens are
not turned into sound. Sections, in order of importance, each a function of its name below:

machine     which card, and how fast it copies
graphs      whether steps are recorded as CUDA graphs, and give the tokens of the step that runs as it is
overhead    milliseconds a step with and without capture of all layers, against audiocraft alone and against
            reading the weights once
rows        draws that differ between numbers of rows a call, and whether a fixed number pins them
study       clips an hour with capture and writing
replay      a teacher-forced pass against generating
float32     tokens of audiocraft, and between batch sizes, with TF32 off
dictionary  training a sparse autoencoder
deviation   states of a replay against those captured, and deliberate faults, so that a tolerance can be set

    bash benchmarks/gpu.sh [--output gpu.tsv] [--seconds 450] [--sections overhead rows] [--tiny]

Without a GPU only `--tiny` runs: three layers, in float32, to see that every section works.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from gpu_bench import REAL, TINY, Bench
from gpu_graphs import graphs
from gpu_speed import machine, overhead, replay
from gpu_states import deviation
from gpu_study import dictionary, study
from gpu_table import Table
from gpu_tokens import float32, rows
from options import duration

SECTIONS = (machine, graphs, overhead, rows, study, replay, float32, dictionary, deviation)


def main(arguments: Sequence[str] | None = None) -> Table:
    """Measure the sections asked for, and return the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = [section.__name__ for section in SECTIONS]
    parser.add_argument("--sections", nargs="+", choices=names, default=names)
    parser.add_argument("--output", type=Path, help="TSV to write")
    parser.add_argument("--seconds", type=duration, default=450, help="after these no section begins")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="a dry run at a tiny size")
    options = parser.parse_args(arguments)
    if options.device == "cpu" and not options.tiny:
        raise SystemExit("this benchmark needs a GPU, and torch sees none; --tiny runs it dry")
    start = time.perf_counter()
    bench, table = Bench(TINY if options.tiny else REAL, options.device), Table(options.output)
    for section in SECTIONS:
        name, spent = section.__name__, time.perf_counter() - start
        if name not in options.sections:
            continue
        late = f"{spent:.0f} of {options.seconds:.0f} s were spent"
        if spent > options.seconds:
            table.guarded(name, lambda late=late: table.add("skipped", "", "", late))
            continue
        table.guarded(name, lambda section=section: section(bench, table))
        print(f"{name}: {time.perf_counter() - start - spent:.0f} s", file=sys.stderr)
    return table


if __name__ == "__main__":
    main()

"""Time and memory of `snakemake -n` against the number of pairs and layers.

Aims: 15 s and 600 MB at 10,000 pairs × 48 layers, 5 s at 1,000 pairs. The first row is the baseline.

    python benchmarks/dag.py [--repeats 3] [--batch pair|prompt] [--pairs 80 1000 10000]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
SEEDS = 4


def write_study(folder: Path, pairs: int, batch: str) -> None:
    """A study of that many pairs on the 48 layers of MusicGen large."""
    rows = [f"p{i}\tmusic {i}\te{i % 4}\tt{i // 4}" for i in range(pairs // SEEDS)]
    (folder / "prompts.tsv").write_text("\n".join(["id\ttext\temotion\ttemplate", *rows]))
    settings = {
        "study": "dag",
        "model": {"name": "facebook/musicgen-large"},
        "prompts": {"sheet": "prompts.tsv"},
        "seeds": list(range(SEEDS)),
        "generation": {"duration": 1, "batch": batch},
        "gram": {"bins": 2, "max_gib": 1e6},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))


def dry_run(folder: Path) -> tuple[float, float, float]:
    """Seconds of wall clock, seconds of processor, peak MB."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "-n",
        "--quiet",
        "all",
    ]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the dry run in {folder} failed")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", choices=("pair", "prompt"), default="pair")
    parser.add_argument("--pairs", type=int, nargs="+", default=[80, 1000, 10000])
    options = parser.parse_args()
    print("  pairs    wall s   cpu s   peak MB   cpu ÷ first")
    first = None
    for pairs in options.pairs:
        with tempfile.TemporaryDirectory() as folder:
            write_study(Path(folder), pairs, options.batch)
            runs = [dry_run(Path(folder)) for _ in range(options.repeats)]
        wall, cpu, peak = (statistics.median(values) for values in zip(*runs, strict=True))
        first = first or cpu
        print(f"{pairs:>7} {wall:9.1f} {cpu:7.1f} {peak:9.0f} {cpu / first:13.2f}")


if __name__ == "__main__":
    main()

"""Where the time of a finished study goes: by rule, and imports against work inside its jobs.

    python benchmarks/where.py results/emotions_nano
    python benchmarks/where.py results/emotions_nano --imports

The first table is of the jobs' own benchmarks. Snakemake looks at a job every half second, and after 15 s
every 30 s: the CPU time of longer jobs lacks what came after the last look. With ``--imports``, each rule's
script is imported alone, as its jobs do before their work, and the packages that take longest by the clock
are named.
"""

import argparse
import ast
import os
import re
import subprocess
import sys
from pathlib import Path

from options import count

from innerear.study.usage import jobs_by_rule

ROOT = Path(__file__).parents[1]
COLUMNS = ("rule", "jobs", "CPU s", "by the clock", "CPU s a job", "of all", "peak MB")
# A line of `python -X importtime`: microseconds of a module itself, and with what it imports.
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)")
# Packages whose import is worth avoiding.
HEAVY = (
    "torch",
    "audiocraft",
    "transformers",
    "librosa",
    "pandas",
    "scipy",
    "sklearn",
    "matplotlib",
    "umap",
    "h5py",
)


def number(text: str) -> float:
    """Return a measured number; 0 for a job that ended before the first measurement."""
    return float(text) if re.fullmatch(r"[0-9.]+", text) else 0.0


def print_rules(jobs: dict[str, list[dict[str, str]]]) -> None:
    """Print CPU and wall by rule, the longest first."""
    cpu = {rule: sum(number(job["cpu_time"]) for job in of) for rule, of in jobs.items()}
    total = sum(cpu.values())
    print(("{:<24}{:>6}" + "{:>13}" * 5).format(*COLUMNS))
    for rule, of in sorted(jobs.items(), key=lambda item: -cpu[item[0]]):
        wall, peak = sum(number(job["s"]) for job in of), max(number(job["max_rss"]) for job in of)
        share = cpu[rule] / total if total else 0
        print(f"{rule:<24}{len(of):>6}{cpu[rule]:>13.1f}{wall:>13.1f}{cpu[rule] / len(of):>13.2f}", end="")
        print(f"{share:>13.0%}{peak:>13.0f}")
    n_jobs, wall = sum(map(len, jobs.values())), sum(number(job["s"]) for of in jobs.values() for job in of)
    print(f"{'all':<24}{n_jobs:>6}{total:>13.1f}{wall:>13.1f}")


def imports_of(script: Path) -> str:
    """Return the import statements of a script."""
    body = ast.parse(script.read_text(encoding="utf-8")).body
    return "\n".join(ast.unparse(one) for one in body if isinstance(one, ast.Import | ast.ImportFrom))


def import_time(code: str) -> tuple[float, dict[str, float]]:
    """Return CPU seconds of importing, and seconds of the heavy packages among it."""
    measured = f"import time\n{code}\nprint(time.process_time())"
    command = [sys.executable, "-X", "importtime", "-c", measured]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    heavy: dict[str, float] = {}
    for own, _, _, name in _LINE.findall(done.stderr):
        package = name.partition(".")[0]
        if package in HEAVY:
            heavy[package] = heavy.get(package, 0.0) + int(own) / 1e6
    return float(done.stdout.split()[-1]), heavy


def print_imports(jobs: dict[str, list[dict[str, str]]], repeats: int) -> None:
    """Print what a job of each script takes to import, beside all that it takes."""
    print("\nscript                  import CPU s   of them the longest (by the clock, the package itself)")
    for script in sorted(Path(ROOT, "scripts").glob("*.py")):
        times = [import_time(imports_of(script)) for _ in range(repeats)]
        seconds, heavy = min(times, key=lambda one: one[0])
        longest = sorted(heavy.items(), key=lambda item: -item[1])[:5]
        said = ", ".join(f"{name} {taken:.2f}" for name, taken in longest if taken >= 0.01)
        of = jobs.get(script.stem, [])
        whole = sum(number(job["cpu_time"]) for job in of) / len(of) if of else 0
        share = f" ({seconds / whole:.0%} of a job)" if whole else ""
        print(f"{script.stem:<24}{seconds:>12.2f}   {said}{share}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=Path, help="folder of a finished study")
    parser.add_argument("--imports", action="store_true")
    parser.add_argument("--repeats", type=count, default=3)
    chosen = parser.parse_args()
    jobs = jobs_by_rule(chosen.results / "benchmarks")
    if not jobs:
        parser.error(
            f"{chosen.results}/benchmarks holds no measured jobs: name the folder of a finished study"
        )
    print_rules(jobs)
    if chosen.imports:
        print_imports(jobs, chosen.repeats)


if __name__ == "__main__":
    main()

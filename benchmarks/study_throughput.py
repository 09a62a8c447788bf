"""Samples per minute of a whole study's generation, on this machine and through Slurm.

Local and Slurm take turns; the medians and their ratio are printed. On a cluster, run it from a login node
with a profile that fits it. The jobs of a small model are shorter than a queue's overhead: that is what this
shows, and why `generation.batch: prompt` exists.

    python benchmarks/study_throughput.py [--profile workflow/profiles/slurm] [--study config.yaml]
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def seconds(study: Path, options: list[str]) -> float:
    """Wall time of generating and indexing all samples in a folder of its own."""
    # Beside the results, since every node must see it; the temporary folder of a login node is its own.
    (ROOT / "results").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "results", prefix="throughput-") as folder:
        shutil.copy(study, Path(folder, "config.yaml"))
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--until",
            "index",
        ]
        start = time.perf_counter()
        subprocess.run([*command, *options], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start


def main() -> None:
    """Time both in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", type=Path, default=ROOT / "workflow/profiles/slurm")
    parser.add_argument("--study", type=Path, default=ROOT / "config.yaml")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("sbatch") is None:
        raise SystemExit("there is no sbatch here: run this where jobs can be submitted")
    study = yaml.safe_load(options.study.read_text())
    section = study["prompts"]
    if section.get("sheet"):
        raise SystemExit("give a study of templates and emotions")
    samples = len(section["templates"]) * len(section["emotions"]) * len(study["seeds"])
    forms = {"local": ["--cores", "all"], "Slurm": ["--profile", str(options.profile.resolve())]}
    rates = {name: [] for name in forms}
    for _ in range(options.repeats):
        for name, how in forms.items():
            rates[name].append(60 * samples / seconds(options.study, how))
    median = {name: statistics.median(values) for name, values in rates.items()}
    for name, value in median.items():
        print(f"{name:<6} {value:7.1f} samples per minute")
    print(f"Slurm ÷ local {median['Slurm'] / median['local']:.2f}")


if __name__ == "__main__":
    main()

"""Time and memory of `snakemake -n` against the number of pairs, at the 48 layers of MusicGen large.

Aims: 15 s and 600 MB at 10,000 pairs, 5 s at 1,000 pairs. What baselines take is Snakemake's own. Two plan
the same generation jobs, of a stack and a clip for each sample, and nothing else: in the bare one the rule
has outputs and a command; in the other it has what each rule of the study has (script, log, benchmark,
environment, resources, a parameter). The third plans as many jobs as the whole study has, of such a rule.

    python benchmarks/dag.py [--repeats 3] [--batch pair|prompt] [--seeds 4] [--pairs 80 1000 10000]
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from options import count

ROOT = Path(__file__).parents[1]
BARE = """
def files(wildcards):
    return collect({kinds}, prompt=range({prompts}), seed=range({seeds}))

rule all:
    input:
        files,

rule generate:
    output:
        {output},
"""
COMMAND = """
    shell:
        "true"
"""
# What Snakemake plans alone.
_OWN = ("bare", "same", "as many")
DIRECTIVES = """
    log:
        "logs/{job}.log",
    benchmark:
        "benchmarks/{job}.tsv"
    conda:
        "{root}/envs/generate.yaml"
    params:
        prompt=lambda wildcards: wildcards.prompt,
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=30,
    script:
        "{root}/scripts/generate.py"
"""


def write_study(folder: Path, pairs: int, seeds: int, batch: str) -> None:
    """A study of that many pairs on the 48 layers of MusicGen large."""
    rows = [f"p{i}\tmusic {i}\te{i % 4}\tt{i // 4}" for i in range(pairs // seeds)]
    (folder / "prompts.tsv").write_text("\n".join(["id\ttext\temotion\ttemplate", *rows]), "utf-8")
    settings = {
        "study": "dag",
        "model": {"name": "facebook/musicgen-large"},
        "prompts": {"sheet": "prompts.tsv"},
        "seeds": list(range(seeds)),
        "generation": {"duration": 1, "batch": batch},
        "gram": {"bins": 2, "max_gib": 1e6},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), "utf-8")


def write_baseline(path: Path, pairs: int, seeds: int, batch: str, directives: str) -> None:
    """A workflow of the generation jobs alone."""
    kinds = ["stacks/p{prompt}/seed-{seed}.h5", "audio/p{prompt}/seed-{seed}.wav"]
    output, job = ", ".join(map(repr, kinds)), "{prompt}/{seed}"
    if batch == "prompt":
        of_a_prompt = [kind.replace("{prompt}", "{{prompt}}") for kind in kinds]
        output, job = f"collect({of_a_prompt}, seed=range({seeds}))", "{prompt}"
    rule = BARE.format(kinds=kinds, prompts=pairs // seeds, seeds=seeds, output=output)
    path.write_text(rule + directives.format(root=ROOT, job=job), "utf-8")


def command_of(snakefile: Path, quiet: str) -> list[str]:
    """A dry run."""
    return [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "-n", "--quiet", quiet]


def jobs_of(snakefile: Path, folder: Path) -> int:
    """How many jobs a dry run plans."""
    command = command_of(snakefile, "rules")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return int(re.findall(r"^total +(\d+)", done.stdout + done.stderr, re.MULTILINE)[0])


def dry_run(snakefile: Path, folder: Path) -> tuple[float, float, float]:
    """Seconds of wall clock, seconds of processor, peak MB."""
    command = command_of(snakefile, "all")
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the dry run of {snakefile} in {folder} failed")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=count, default=3)
    parser.add_argument("--batch", choices=("pair", "prompt"), default="pair")
    parser.add_argument("--seeds", type=count, default=4)
    parser.add_argument("--pairs", type=count, nargs="+", default=[80, 1000, 10000])
    options = parser.parse_args()
    print("  pairs    jobs   wall s   cpu s   peak MB" + "".join(f"   {one:>7}: s  ratio" for one in _OWN))
    for pairs in options.pairs:
        with tempfile.TemporaryDirectory() as folder:
            study = (pairs, options.seeds, options.batch)
            write_study(Path(folder), *study)
            snakefiles = {"study": ROOT / "Snakefile"}
            for name, directives in (("bare", COMMAND), ("same", DIRECTIVES)):
                snakefiles[name] = Path(folder, f"{name}.smk")
                write_baseline(snakefiles[name], *study, directives)
            n_jobs = jobs_of(snakefiles["study"], Path(folder))
            snakefiles["as many"] = Path(folder, "many.smk")
            write_baseline(snakefiles["as many"], n_jobs, 1, "pair", DIRECTIVES)
            dry_run(snakefiles["bare"], Path(folder))  # so that Python's compiled files are there
            runs = {name: [] for name in snakefiles}
            for _ in range(options.repeats):
                for name, snakefile in snakefiles.items():
                    runs[name].append(dry_run(snakefile, Path(folder)))
        wall, cpu, peak = (statistics.median(values) for values in zip(*runs["study"], strict=True))
        owns = [statistics.median(run[1] for run in runs[name]) for name in _OWN]
        print(
            f"{pairs:>7} {n_jobs:>7} {wall:8.1f} {cpu:7.1f} {peak:9.0f}   "
            + "   ".join(f"{own:10.1f} {cpu / own:6.2f}" for own in owns),
            flush=True,
        )


if __name__ == "__main__":
    main()

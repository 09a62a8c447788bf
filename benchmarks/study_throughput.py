"""Samples per minute of a whole study's generation, on this machine and through Slurm.

The forms take turns; the medians and their ratio are printed. `--slurm site` is for the login node of a
cluster, with a profile that fits it; `--slurm test` starts the Slurm of one machine that the tests use, and
ends it. The jobs of a small model are shorter than a queue's overhead: that is what this shows, and why
`generation.batch: prompt` exists.

    python benchmarks/study_throughput.py [--slurm no|site|test] [--profile workflow/profiles/slurm]
        [--study config.yaml] [--seeds 2] [--batch pair|prompt] [--repeats 3]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from options import count

ROOT = Path(__file__).parents[1]


def seconds(study: dict, options: list[str], environment: dict[str, str]) -> float:
    """Wall time of generating and indexing all samples in a folder of its own."""
    # Beside the results, since every node must see it; the temporary folder of a login node is its own.
    (ROOT / "results").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "results", prefix="throughput-") as folder:
        Path(folder, "config.yaml").write_text(yaml.safe_dump(study), "utf-8")
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--until", "index", *options]
        start = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
        return time.perf_counter() - start


@contextmanager
def queue(which: str, profile: dict) -> Iterator[dict[str, str]]:
    """Environment in which jobs can be submitted."""
    if which != "test":
        yield dict(os.environ)
        return
    sys.path.insert(0, str(ROOT / "tests" / "cluster"))
    from slurm import Slurm

    account = profile["default-resources"]["slurm_account"]
    rules = profile["set-resources"].values()
    partitions = [profile["default-resources"], *rules]
    names = list(dict.fromkeys(part["slurm_partition"] for part in partitions))
    with (
        tempfile.TemporaryDirectory(dir="/tmp", prefix="slurm-") as folder,
        Slurm(Path(folder, "slurm"), account, names, gpus=2) as running,
    ):
        yield running.environment


def fewer(seeds: list[int] | dict[str, int], most: int | None) -> tuple[list[int] | dict[str, int], int]:
    """Return at most so many of a study's seeds, and how many a prompt has."""
    if isinstance(seeds, dict):
        n_seeds = min(seeds["each_template"], most or seeds["each_template"])
        return {"each_template": n_seeds}, n_seeds
    return seeds[:most], len(seeds[:most])


def study_of_templates(text: str) -> dict:
    """Return the settings in a file, of a study of templates and emotions."""
    try:
        study = yaml.safe_load(Path(text).read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ArgumentTypeError(f"{text!r} cannot be read: {' '.join(str(error).split())}") from None
    section = study.get("prompts") if isinstance(study, dict) else None
    if (
        not isinstance(section, dict)
        or not {"templates", "emotions"} <= section.keys()
        or "seeds" not in study
    ):
        raise ArgumentTypeError(f"{text!r} is no study with seeds, templates and emotions")
    return study


def folder_of_profile(text: str) -> Path:
    """Return a folder that holds a profile of Snakemake."""
    if not any(Path(text).glob("*.yaml")):
        raise ArgumentTypeError(f"{text!r} is no folder with a profile, such as config.yaml")
    return Path(text)


def main() -> None:
    """Time the forms in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slurm", choices=("no", "site", "test"), default="no")
    parser.add_argument("--profile", type=folder_of_profile, default=ROOT / "workflow/profiles/slurm")
    parser.add_argument("--study", type=study_of_templates, default=str(ROOT / "config.yaml"))
    parser.add_argument("--seeds", type=count, help="so many of the study's seeds")
    parser.add_argument("--batch", choices=("pair", "prompt"))
    parser.add_argument("--repeats", type=count, default=3)
    options = parser.parse_args()
    study = options.study
    study["seeds"], n_seeds = fewer(study["seeds"], options.seeds)
    if options.batch:
        study["generation"] = study.get("generation", {}) | {"batch": options.batch}
    section = study["prompts"]
    samples = len(section["templates"]) * len(section["emotions"]) * n_seeds
    forms = {"local": ["--cores", "all"]}
    if options.slurm != "no":
        forms["Slurm"] = ["--profile", str(options.profile.resolve())]
    rates = {name: [] for name in forms}
    profile = yaml.safe_load(next(options.profile.glob("*.yaml")).read_text("utf-8"))
    with queue(options.slurm, profile) as environment:
        for _ in range(options.repeats):
            for name, how in forms.items():
                rates[name].append(60 * samples / seconds(study, how, environment))
    median = {name: statistics.median(values) for name, values in rates.items()}
    for name, value in median.items():
        print(f"{name:<6} {value:7.1f} samples per minute, {samples} samples")
    if "Slurm" in median:
        print(f"Slurm ÷ local {median['Slurm'] / median['local']:.2f}")


if __name__ == "__main__":
    main()

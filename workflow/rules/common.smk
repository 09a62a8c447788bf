"""Load and validate the study, and what the rules ask of it. No rules here."""

import atexit
import os
import sys
from dataclasses import asdict
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

# A checkout works without being installed, as in the environments of --sdm conda.
sys.path.insert(0, f"{workflow.basedir}/src")

from innerear.conditions import Sample
from innerear.errors import InputError
from innerear.study import Study
from innerear.tracking import fingerprint

try:
    STUDY = Study.from_settings(
        config,
        yaml.safe_load(
            Path(workflow.basedir, "workflow/schemas/config.schema.yaml").read_text()
        ),
    )
except InputError as error:
    raise WorkflowError(str(error)) from None

config = STUDY.settings
PROMPTS = {prompt.id: prompt for prompt in STUDY.prompts}
SEEDS = config["seeds"]
MODEL = config["model"]["name"] + (
    " (random weights)" if config["model"]["random_init"] else ""
)
LOADING = {
    key: value for key, value in config["model"].items() if key != "architecture"
}
# A local checkpoint is an input like any other: new weights make new samples.
CHECKPOINT = Path(
    os.path.relpath(f"{workflow.basedir}/resources/nano")
    if LOADING["name"] == "nano"
    else LOADING["name"]
)
WEIGHTS = [str(path) for path in sorted(CHECKPOINT.glob("*.bin"))]
LAYERS = [f"{layer:02d}" for layer in STUDY.layers]
# All samples' files, by name: of a rule's whole `input` Snakemake would compare every file with every other.
STACKS = collect("<results>/stacks/{prompt}/seed-{seed}.h5", prompt=PROMPTS, seed=SEEDS)
AUDIO = collect("<results>/audio/{prompt}/seed-{seed}.wav", prompt=PROMPTS, seed=SEEDS)
# How the clips are sampled, apart from how they are shared out among jobs, on which nothing depends.
JOB_SIZE = {"batch", "batch_size"}
SAMPLING = {
    key: value for key, value in config["generation"].items() if key not in JOB_SIZE
}
BY_PROMPT = config["generation"]["batch"] == "prompt"
GENERATION_JOB = "{prompt}/all-seeds" if BY_PROMPT else "{prompt}/seed-{seed}"
SEEDS_OF_A_JOB = SEEDS if BY_PROMPT else "{seed}"


def prompt_of(wildcards):
    """The fields of the prompt that a job is about."""
    return asdict(PROMPTS[wildcards.prompt])


def samples_of(wildcards):
    """The ids of the prompt's samples."""
    return [Sample(PROMPTS[wildcards.prompt], seed).id for seed in SEEDS]


def seeds_of(wildcards, output):
    """The seeds that a generation job makes.

    Asking for `output` tells Snakemake that they follow from it: the files that exist stay when
    generation.batch changes.
    """
    return SEEDS if BY_PROMPT else [int(wildcards.seed)]


def batch_size_of(wildcards, output):
    """How many clips a job makes at a time; on it, too, no result depends."""
    return config["generation"]["batch_size"]


def gram_mb(wildcards, attempt):
    """Memory of a job that holds one layer's Gram, beside the interpreter; doubled at each retry."""
    return int((1000 + 3 * STUDY.estimate.gram_bytes / 2**20) * attempt)


def megabytes(base):
    """Memory that grows with each attempt, for the profiles that retry."""

    def grown(wildcards, attempt):
        return base * attempt

    return grown


def announce_dry_run():
    """Say what the study takes, as the last thing that a dry run prints."""
    if workflow.dryrun:
        print(STUDY.announcement, file=sys.stderr)


atexit.register(announce_dry_run)


onstart:
    print(STUDY.announcement, file=sys.stderr)


pathvars:
    results=f"results/{config['study']}",
    logs=f"results/{config['study']}/logs",
    benchmarks=f"results/{config['study']}/benchmarks",


wildcard_constraints:
    prompt=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    seed=r"\d+",
    layer=r"\d+",
    capture=r"[A-Za-z0-9][A-Za-z0-9_-]*",

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

from innerear.errors import InputError
from innerear.study import Study
from innerear.tracking import fingerprint, hold

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


def prompt_of(wildcards):
    """The fields of the prompt that a job is about."""
    return asdict(PROMPTS[wildcards.prompt])


def samples_of(wildcards):
    """The ids of the prompt's samples."""
    return [
        sample.id for sample in STUDY.samples if sample.prompt.id == wildcards.prompt
    ]


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


def refuse_second_run():
    """Let one run at a time work on a study in this folder: Snakemake's own lock outlives a killed run."""
    try:
        hold(f".snakemake/running-{config['study']}")
    except InputError as error:
        raise WorkflowError(f"study {config['study']}: {error}") from None


atexit.register(announce_dry_run)


onstart:
    refuse_second_run()
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

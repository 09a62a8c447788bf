"""The study, loaded and checked, and what follows from it. No rules here."""

import os
import re
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

# A checkout works without being installed, as in the environments of --sdm conda.
sys.path.insert(0, f"{workflow.basedir}/src")

from innerear.errors import InputError
from innerear.io.names import SETTINGS_OPTIONS, UNFINISHED, refuse_renamed
from innerear.study.config_files import check_files
from innerear.study.jobs import (
    gram_seconds,
    label_seconds,
    layers_of_a_job,
    layers_together,
    measured_together,
    sound_seconds,
)
from innerear.study.names import check_path
from innerear.study.study import Study

# What is said to remake a file finds the study as this run does.
GIVEN = {
    "--configfile": map(os.path.relpath, workflow.overwrite_configfiles),
    "--config": workflow.config_settings.config_args or (),
}
GIVEN = [[option, *values] for option, values in GIVEN.items()]
os.environ[SETTINGS_OPTIONS] = " ".join(shlex.join(given) for given in GIVEN if given[1:])

try:
    schema = Path(workflow.basedir, "workflow/schemas/config.schema.yaml").read_text("utf-8")
    check_path(str(workflow.basedir), "the workflow's own folder")
    check_files(workflow.configfiles)
    STUDY = Study.from_settings(config, yaml.safe_load(schema))
    refuse_renamed(f"results/{STUDY.settings['study']}")
except InputError as error:
    raise WorkflowError(str(error)) from None

# What captions name: the settings, and what follows from them.
config = STUDY.settings | STUDY.of_captions
PROMPTS = {prompt.id: prompt for prompt in STUDY.prompts}
# Ids of all samples, and the lists of seeds that prompts have: one, or one for each template.
SAMPLES = [sample.id for sample in STUDY.samples]
SEED_LISTS = [list(seeds) for seeds in dict.fromkeys(map(tuple, STUDY.seeds.values()))]
RESULTS = f"results/{config['study']}"
# Where generation jobs keep what they finish until Snakemake has taken note of it.
APART = f"{RESULTS}/{UNFINISHED}"
# A control says so in every table and title.
MODEL = STUDY.model + (" (random weights)" if config["model"]["random_init"] else "")
if config["statistics"]["shuffle_labels"]:
    MODEL += " (labels shuffled)"
LOADING = {key: value for key, value in config["model"].items() if key not in ("architecture", "witness")}
# A checkpoint is an input like any other: new weights make new samples. A hub model's stand in for it: the revisions
# that rule fetch has brought into the cache.
CHECKPOINT = Path(
    os.path.relpath(f"{workflow.basedir}/resources/nano") if LOADING["name"] == "nano" else LOADING["name"]
)
PINS = f"{RESULTS}/model.json"
FETCHED = {key: LOADING[key] for key in ("name", "revision", "backend") if key in LOADING}
if STUDY.hub_model:
    LOADING["pins"] = PINS
    CHECKPOINT_FILES = [PINS]
else:
    CHECKPOINT_FILES = [
        str(path) for kind in ("*.bin", "*.safetensors") for path in sorted(CHECKPOINT.glob(kind))
    ]
LAYERS = [f"{layer:02d}" for layer in STUDY.layers]
# Templates whose texts are swapped between clips, and the weights that replay them; none where not asked for.
BLOCKS = STUDY.swaps.blocks
EXAMPLE_BLOCK = list(BLOCKS)[:1]
WEIGHTS = STUDY.replayed_by
# Modules that may have rows on the page of findings.
ANALYSES = [
    ".".join(path.relative_to(f"{workflow.basedir}/src").with_suffix("").parts)
    for path in sorted(Path(workflow.basedir, "src/innerear/analyses").rglob("[a-z]*.py"))
]
# What is steered, nothing where the study does not ask for it; and what the random twin is steered along.
PLANNED = asdict(STUDY.interventions) if STUDY.interventions else {}
TWIN_ALONG = STUDY.interventions.twin_settings if PLANNED else {}
EDITED_LAYERS = [f"{layer:02d}" for layer in PLANNED.get("layers", ())]
# Layers of whose dictionaries directions are taken.
FEATURES_STEERED = EDITED_LAYERS if "features" in PLANNED.get("settings", {}).get("sources", ()) else []
TWIN_STEERED = bool(PLANNED) and PLANNED["settings"]["control"]
# Captions of the figures, which the page of answers shows as well.
CAPTIONS = sorted(os.path.relpath(path) for path in Path(workflow.basedir, "workflow/report").glob("*.rst"))
# The site that analyses read.
SITE = config["capture"]["sites"][0]
# What every figure names.
NAMED = {"model": MODEL, "contrast": config["contrast"]}
# Controls that are the study's own, and those that are other studies.
SHUFFLED = [name for name in config["statistics"]["controls"] if name == "shuffled"]
OTHER_STUDIES = [name for name in config["statistics"]["controls"] if name not in SHUFFLED]
# What analyses are computed with, apart from what only the page of findings is asked.
OF_THE_PAGE = {"primary", "controls", "smallest_effect"}
STATISTICS = {name: value for name, value in config["statistics"].items() if name not in OF_THE_PAGE}
# What the page of findings is asked.
ASKED = {
    "contrast": config["contrast"],
    "primary": config["statistics"]["primary"],
    "smallest": config["statistics"]["smallest_effect"],
    "n_labels": STUDY.power.n_labels,
    "n_templates": STUDY.power.n_templates,
    "n_permutations": STUDY.power.n_permutations,
}
# Seconds of a clip; prompts whose clips one job measures, by its name; and the seconds of sound of the largest job.
CLIP_SECONDS = config["generation"]["duration"]
MEASURED = measured_together(STUDY.prompts, STUDY.seeds, CLIP_SECONDS)
MEASURED_SECONDS = CLIP_SECONDS * max(
    sum(len(STUDY.seeds[prompt.id]) for prompt in prompts) for prompts in MEASURED.values()
)
# How the clips are sampled, apart from how their jobs are run, on which nothing depends.
HOW_A_JOB_RUNS = {"batch", "batch_size", "decoder"}
SAMPLING = {key: value for key, value in config["generation"].items() if key not in HOW_A_JOB_RUNS}
# What the gate must find checked.
EXPECTED_CHECKS = {
    "branches": STUDY.capture["branches"],
    "same_input": STUDY.architecture.cross_attention and config["generation"]["guidance"] is not None,
    "witness": STUDY.witness,
}
BATCH = STUDY.batch
STACKS, CLIPS = "<results>/stacks/{sample}.h5", "<results>/audio/{sample}.wav"
# MB of a job at the first attempt. With a Gram: one layer's and the interpreter; with the model: interpreter,
# codec, weights, and a batch's hidden states twice; with cells: a group of layers' states and Gram instead; with
# sound: one clip's spectrograms, and the frames of all.
SIZE = STUDY.estimate
GRAM_MB = 1000 + 3 * SIZE.gram_bytes / 2**20
CLIPS_GENERATED = (
    1 if BATCH == "pair" else SIZE.n_seeds * (1 if BATCH == "prompt" else min(BATCH, SIZE.n_prompts))
)
CLIPS_AT_ONCE = min(config["generation"]["batch_size"], CLIPS_GENERATED)
MODEL_MB = 2500 + (SIZE.weight_bytes + 2 * CLIPS_AT_ONCE * SIZE.stack_bytes) / 1e6
STEERED_MB = 2500 + (SIZE.weight_bytes + config["interventions"]["batch_size"] * SIZE.audio_bytes * 4) / 1e6
VERIFY_MB = MODEL_MB + (2 * SIZE.weight_bytes / 1e6 if STUDY.witness else 0)
ACOUSTICS_MB = 1000 + 5 * CLIP_SECONDS + MEASURED_SECONDS / 10
# Seconds of a layer in a job that sums products, asks of labels, or asks of sound; and the layers of each such job.
GRAM_SECONDS = gram_seconds(SIZE.n_samples, SIZE.n_prompts, SIZE.n_steps, STUDY.architecture.d_model)
LABEL_SECONDS = label_seconds(SIZE.n_prompts, SIZE.n_steps, STATISTICS["permutations"])
SOUND_SECONDS = sound_seconds(SIZE.n_samples, STATISTICS["permutations"])
GRAM_JOBS, LABEL_JOBS, SOUND_JOBS = (
    layers_together(STUDY.layers, layers_of_a_job(seconds))
    for seconds in (GRAM_SECONDS, LABEL_SECONDS, SOUND_SECONDS)
)
CELLS_MB = 2500 + (SIZE.weight_bytes + (SIZE.cells.memory_bytes if SIZE.cells else 0)) / 1e6


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


wildcard_constraints:
    prompt=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    seed=r"\d+",
    layer=r"\d+",
    layers=r"\d+(-\d+)*",
    capture="|".join(map(re.escape, STUDY.captures)) or r"(?!)",
    clips=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    template=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    weights=r"trained|random_init",
    control=r"shuffled",
    analysis=r"[a-z_]+",

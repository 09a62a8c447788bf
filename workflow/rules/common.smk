"""Load and validate the study, and what the rules ask of it. No rules here."""

import atexit
import gc
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.io import strip_wildcard_constraints
from snakemake.logging import logger

# A checkout works without being installed, as in the environments of --sdm conda.
sys.path.insert(0, f"{workflow.basedir}/src")

from innerear.study.config_files import check_files
from innerear.study.controls import CONTROLLED
from innerear.study.dictionaries import files_of
from innerear.study.jobs import (
    gram_seconds,
    label_seconds,
    layers_of_a_job,
    layers_together,
    measured_together,
    minutes_of_a_job,
    sound_seconds,
)
from innerear.study.names import check_path
from innerear.study.prompts import batches, own_label
from innerear.errors import InputError
from innerear.io.fingerprints import fingerprint
from innerear.study.study import Study
from innerear.io.locks import hold
from innerear.io.names import SETTINGS_OPTIONS, UNFINISHED, refuse_renamed
from innerear.io.second_names import forget_finished
from innerear.study.usage import (
    counterfactual_time,
    disk_estimates,
    generation_time,
    memory_asked,
    steering_time,
    usage_report,
)

# A plan is one large graph that lives to the end. At its usual pace the collector would go through it again and
# again, for an eighth of the time.
gc.set_threshold(100_000, 50, 50)

# A failed job keeps apart what it has finished, and Snakemake's line for each file without a backup would hide what
# failed.
logger.addFilter(lambda record: not str(record.msg).startswith("Cannot restore "))

# A job asks for one core: more threads of BLAS than that get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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
}
# The pages of a study in the order of their navigation; one that no rule makes is left out.
ROOMS = {
    "Answers": "index.html",
    "Map": "map.html",
    "Clips": "listen.html",
    "Text or history": "counterfactual.html",
    "Features": "features.html",
    "Steering": "steering.html",
    "Record": "record.html",
}
# Trials of a listening test, at most: about each label, about each of so many features, and about each steered
# layer. A quarter as many more are controls.
LISTENING = {"label": 5, "features": 3, "intruder": 12, "detection": 6, "steering": 8}
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
# Rules that do the same for other seeds, prompts or templates, by name, and the first of each kind.
COPIES = {}
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


def copy_of(name, number):
    """The name of a rule's copy: outputs cannot otherwise depend on what a job makes."""
    copy = f"{name}_{number + 1}" if number else name
    COPIES[copy] = name
    return copy


def samples_of(prompts):
    """The ids of the samples of some prompts."""
    return [f"{prompt.id}/seed-{seed}" for prompt in prompts for seed in STUDY.seeds[prompt.id]]


def later(pattern, **values):
    """Long lists of input files, from a function.

    A list that stands in a rule is hashed whole for each of its files, which at 10,000 samples takes longer
    than all else together.
    """
    return lambda wildcards: collect(pattern, **values)


def audio_measured_together(wildcards):
    """The clips that one job measures."""
    return collect(CLIPS, sample=samples_measured_together(wildcards))


def samples_measured_together(wildcards):
    """The ids of these samples, in that order."""
    return samples_of(MEASURED[wildcards.clips])


def swapped_texts_of(templates):
    """The texts of some templates that are no prompts of the study."""
    own = {name: BLOCKS[name] for name in templates}
    return {name: {"neutral": one.neutral, "paraphrases": dict(one.paraphrases)} for name, one in own.items()}


def replaying_jobs():
    """The kinds of jobs that replay templates under other texts: the templates, and what gives their texts.

    With a wildcard in it, one kind stands for many jobs.
    """
    size = SIZE.cells.templates_of_a_job if SIZE.cells else 1
    if size == 1:
        return [(["{template}"], lambda wildcards: swapped_texts_of([wildcards.template]))]
    jobs = batches(BLOCKS, size)
    return [(templates, lambda wildcards, own=templates: swapped_texts_of(own)) for templates in jobs]


def loading_of(wildcards):
    """How the replaying model is loaded: with its trained weights, or its twin with random ones."""
    twin = wildcards.weights == "random_init"
    return LOADING | ({"random_init": True} if twin else {})


def recordings_of(prompts):
    """The sound files of the recorded tracks among some prompts."""
    return [prompt.audio for prompt in prompts if prompt.audio]


def finished_dictionaries(wildcards):
    """The files of a layer's finished dictionaries, where the study names some."""
    own = STUDY.features
    return files_of(own.given, own.of, int(wildcards.layer)) if own.given else []


def times_of(files):
    """What gives the times of a job's files of other people: one put in another's place may be older than results."""
    return lambda wildcards: [os.stat(path).st_mtime_ns for path in files(wildcards)]


def fields_of(prompts):
    """The fields of prompts, as they go into their stacks."""
    return [{name: value for name, value in asdict(one).items() if name != "label"} for one in prompts]


def generation_jobs():
    """The kinds of generation jobs: a name, the samples that a job makes, and what gives its prompts' fields.

    With wildcards in them, one kind stands for many jobs. The last of each is what gives the sound files of its
    recorded tracks.
    """
    of_wildcards = lambda wildcards: fields_of([PROMPTS[wildcards.prompt]])
    files = lambda wildcards: recordings_of([PROMPTS[wildcards.prompt]])
    if BATCH == "pair":
        return [("{prompt}/seed-{seed}", ["{prompt}/seed-{seed}"], of_wildcards, files)]
    if BATCH == "prompt":
        lists = ([f"{{prompt}}/seed-{seed}" for seed in seeds] for seeds in SEED_LISTS)
        return [("{prompt}/all-seeds", samples, of_wildcards, files) for samples in lists]
    jobs, first = [], 1
    for group in STUDY.groups:
        name = f"prompts-{first}-to-{first + len(group) - 1}"
        of_group = lambda wildcards, group=group: fields_of(group)
        files = lambda wildcards, group=group: recordings_of(group)
        jobs.append((name, samples_of(group), of_group, files))
        first += len(group)
    return jobs


def settings_of_samples(wildcards):
    """What determines the samples: what each stack must say that it was made with."""
    settings = {"study": config["study"], "capture": STUDY.capture, "generation": SAMPLING}
    return settings | {"prompts": fields_of(STUDY.prompts), "seeds": STUDY.seeds}


def own_labels(wildcards):
    """The label of each prompt that only this study has, where its contrast is one."""
    name = own_label(config["contrast"])
    return {name: {prompt.id: prompt.label for prompt in STUDY.prompts}} if name else {}


def how_a_job_runs(wildcards, output):
    """How many clips a generation job makes at a time, and with what; no result depends on it.

    Asking for `output` tells Snakemake so: the files that exist stay when it changes.
    """
    return {"batch_size": CLIPS_AT_ONCE, "decoder": config["generation"]["decoder"]}


def counterfactual_run(wildcards, output):
    """How many clips and layers a job replays at a time; no result depends on either."""
    layers_at_once = SIZE.cells.layers_at_once if SIZE.cells else None
    return {"batch_size": config["counterfactual"]["batch_size"], "layers_at_once": layers_at_once}


def plan_of(*settings, **others):
    """The plan of the interventions, of its settings only those that a rule's results depend on."""
    if not PLANNED:
        return {}
    own = {name: PLANNED["settings"][name] for name in settings} | others
    drawn = PLANNED["drawn_templates"] if "draws" in settings else ()
    return PLANNED | {"settings": own, "drawn_templates": drawn, "left_out": ()}


def interventions_run(wildcards, output):
    """How many clips a job edits at a time; no result depends on it."""
    return {"batch_size": config["interventions"]["batch_size"]}


GENERATION_JOBS = generation_jobs()


def needs(mb, minutes):
    """Time and memory of a job. Memory grows with each attempt, for the profiles that retry."""
    return {"mem_mb": lambda wildcards, attempt: int(mb * attempt), "runtime": minutes}


def results_of_layers(*arrays):
    """What an analysis writes of some layers: their table, null maxima, and folders of arrays for later rules."""
    files = {
        "table": "<results>/<analysis>/tables/layers_{layers}.tsv",
        "null": "<results>/<analysis>/nulls/layers_{layers}.tsv",
    }
    return files | {name: directory(f"<results>/<analysis>/{name}/{{layers}}") for name in arrays}


def of_layers(pattern):
    """The files of a job's layers, one each."""
    return lambda wildcards: collect(pattern, layer=wildcards.layers.split("-"))


def of_all_layers(pattern, jobs=LABEL_JOBS, **values):
    """The files of all jobs that analyse layers."""
    return collect(pattern, layers=jobs, **values)


def tables_of(jobs):
    """What a map joins: the tables and null maxima of all jobs of an analysis."""
    return {
        name: of_all_layers(f"<results>/<analysis>/{name}/layers_{{layers}}.tsv", jobs)
        for name in ("tables", "nulls")
    }


def reported(path, category, caption, **labels):
    """A table, page or figure of the results, in the report."""
    return report(f"<results>/{path}", caption=f"../report/{caption}.rst", category=category, labels=labels)


def mapped(category, caption, label):
    """The table of all layers of an analysis, in the report."""
    return reported("<analysis>/map.tsv", category, caption, table=label)


def figures(category, **labels):
    """Figures by name: an SVG for the report, with the caption of that name, and a PNG."""
    files = {}
    for name, label in labels.items():
        files[name] = reported(f"figures/{name}.svg", category, name, figure=label)
        files[f"{name}_png"] = f"<results>/figures/{name}.png"
    return files


def heading(wildcards):
    """What stands above every page: the study, its model and size, and the pages that it has."""
    made = {str(output) for rule in workflow.rules for output in rule.output}
    asked = {
        "Text or history": bool(BLOCKS),
        "Features": bool(STUDY.features.layers),
        "Steering": bool(PLANNED),
    }
    rooms = {
        name: page for name, page in ROOMS.items() if f"{RESULTS}/{page}" in made and asked.get(name, True)
    }
    size = {"n_clips": len(SAMPLES), "n_prompts": len(PROMPTS)}
    return {"study": config["study"], "model": MODEL, "rooms": rooms} | size


def asked_of_study(wildcards):
    """The settings with their defaults, also as text, what a dry run says, and where the results lie."""
    text = yaml.safe_dump(STUDY.settings, sort_keys=False, allow_unicode=True)
    settings = {"settings": STUDY.settings, "settings_text": text}
    return settings | {"announcement": STUDY.announcement, "results": RESULTS}


def responses(wildcards):
    """The files of answers to the listening test in the study's folder: all that lie there but hidden ones."""
    files = [path for path in Path(RESULTS, "responses").rglob("[!.]*") if path.is_file()]
    return sorted(map(str, files))


def estimated(wildcards):
    """Bytes on disk by kind of file, and MB of memory that each rule asks for."""
    return {"disk": disk_estimates(SIZE), "memory": memory_by_rule()}


def figures_with_captions(wildcards):
    """All figures of the study's analyses: those of rules that `all` asks for."""
    groups = [
        "capture",
        "label",
        "sound",
        "geometry",
        "text_or_history",
        *["features"] * bool(STUDY.features.layers),
        *["steering"] * bool(PLANNED),
    ]
    made = [output for group in groups for output in outputs_of(group)(wildcards)]
    return [output for output in made if str(output).endswith(".svg")]


def outputs_of(group):
    """What all rules of a group's file make, but for the files of single samples, layers or templates."""
    return lambda wildcards: [
        output
        for made in workflow.rules
        if Path(made.snakefile).stem == group and not made.wildcard_names
        if COPIES.get(made.name, made.name) != "generate"
        for output in made.output
    ]


def complete_rules():
    """Give each rule what all rules say alike, unless it says otherwise.

    Its log and its benchmark bear its name, and below it those parts of its first output that hold wildcards;
    a copy bears its original's name, and a profile's settings of that hold for it. It runs in the environment `analysis`. It runs again after an edit of the code that its script imports.
    """
    asked = workflow.resource_settings._parsed_overwrite_resources
    for made in workflow.rules:
        if made.script:
            name = COPIES.get(made.name, made.name)
            made.resources.update(asked.get(name, {}))
            parts = [Path(part).stem for part in Path(made.output[0]).parts if "{" in part]
            job = "/".join([name, *map(strip_wildcard_constraints, parts)])
            made.log_modifier = made.benchmark_modifier = made.output_modifier
            if not made.log:
                made.set_log(f"<logs>/{job}.log")
            if not made.benchmark:
                made.benchmark = f"<benchmarks>/{job}.tsv"
            if not made.conda_env:
                made.conda_env = "../../envs/analysis.yaml"
            made.set_params(code=code_of(Path(made.script).name, made.pathvars.items.get("analysis")))


def code_of(script, analysis):
    """The fingerprint of the code that a script imports, some of it by names that the script computes."""
    analyses = [
        f"innerear.analyses.{name}" for name in (CONTROLLED if analysis == "controls" else [analysis])
    ]
    named = {
        "layer.py": analyses,
        "map.py": analyses,
        "plot.py": [f"innerear.figures.{analysis}"],
        "findings.py": ANALYSES,
    }
    return fingerprint(Path(workflow.basedir, "scripts", script), *named.get(script, []))


def memory_by_rule():
    """MB that each rule asks for at the first attempt."""
    return {
        made.name: made.resources["mem_mb"].evaluate(None, attempt=1).value
        for made in workflow.rules
        if "mem_mb" in made.resources and COPIES.get(made.name, made.name) == made.name
    }


def announce():
    """Say what the study takes; of memory, what its planned rules ask for."""
    times = [said(SIZE, RESULTS) for said in (generation_time, counterfactual_time)]
    times.append(steering_time(STUDY.n_steered, RESULTS))
    planned = (
        {COPIES.get(job.rule.name, job.rule.name) for job in workflow.dag.jobs} if workflow.dag else set()
    )
    asked = {rule: mb for rule, mb in memory_by_rule().items() if rule in planned}
    lines = [STUDY.announcement, *([memory_asked(asked)] if asked else []), *filter(None, times)]
    print(*lines, sep="\n", file=sys.stderr)


def refuse_second_run():
    """Let one run at a time work on a study, also from two checkouts: Snakemake's own lock outlives a killed run."""
    try:
        hold(f"{RESULTS}/.running")
    except InputError as error:
        raise WorkflowError(f"study {config['study']}: {error}") from None


# The last thing that a dry run prints.
atexit.register(lambda: announce() if workflow.dryrun else None)


onstart:
    refuse_second_run()
    announce()


onsuccess:
    forget_finished(APART, RESULTS)
    print(
        f"Study {config['study']}, estimated and used",
        usage_report(SIZE, RESULTS, memory_by_rule()),
        sep="\n",
        file=sys.stderr,
    )


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


wildcard_constraints:
    prompt=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    seed=r"\d+",
    layer=r"\d+",
    layers=r"\d+(-\d+)*",
    capture=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    clips=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    template=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    weights=r"trained|random_init",
    control=r"shuffled",
    analysis=r"[a-z_]+",

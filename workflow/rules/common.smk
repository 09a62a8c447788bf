"""Files, resources and parameters that the rules use. No rules here."""

import os
from dataclasses import asdict
from pathlib import Path

import yaml

from innerear.study.dictionaries import files_of
from innerear.study.jobs import minutes_of_a_job
from innerear.study.prompts import batches, own_label

# Rules that do the same for other seeds, prompts or templates, by name, and the first of each kind.
COPIES = {}
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


def copy_of(name, number):
    """The name of a rule's copy: outputs cannot otherwise depend on what a job makes."""
    copy = f"{name}_{number + 1}" if number else name
    COPIES[copy] = name
    return copy


def original_of(name):
    """The rule that a rule is a copy of, or itself."""
    return COPIES.get(name, name)


def samples_of(prompts):
    """The ids of the samples of some prompts."""
    return [f"{prompt.id}/seed-{seed}" for prompt in prompts for seed in STUDY.seeds[prompt.id]]


def later(pattern, **values):
    """Long lists of input files, from a function.

    A list that stands in a rule is hashed whole for each of its files, which at 10,000 samples takes longer
    than all else together.
    """
    return lambda wildcards: collect(pattern, **values)


def always(value):
    """What gives the same to every job."""
    return lambda wildcards: value


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


def swapped_texts_of_wildcards(wildcards):
    """The texts of the one template of a job."""
    return swapped_texts_of([wildcards.template])


def replaying_jobs():
    """The kinds of jobs that replay templates under other texts: the templates, and a function for their texts.

    With a wildcard in it, one kind stands for many jobs.
    """
    size = SIZE.cells.templates_of_a_job if SIZE.cells else 1
    if size == 1:
        return [(["{template}"], swapped_texts_of_wildcards)]
    return [(templates, always(swapped_texts_of(templates))) for templates in batches(BLOCKS, size)]


def loading_of(wildcards):
    """How the replaying model is loaded: with its trained weights, or its twin with random ones."""
    twin = wildcards.weights == "random_init"
    return LOADING | ({"random_init": True} if twin else {})


def recordings_of(prompts):
    """The sound files of the recorded tracks among some prompts."""
    return [prompt.audio for prompt in prompts if prompt.audio]


def finished_dictionaries(wildcards):
    """The files of a layer's finished dictionaries, if the study names some."""
    own = STUDY.features
    return files_of(own.given, own.of, int(wildcards.layer)) if own.given else []


def times_of(files):
    """The function that gives the times of other people's files: an exchanged file may be older than results."""
    return lambda wildcards: [os.stat(path).st_mtime_ns for path in files(wildcards)]


def of_prompts(part, prompts):
    """The function that gives a part of a job's prompts: their fields, or their sound files."""
    return lambda wildcards: part(prompts(wildcards))


def fields_of(prompts):
    """The fields of prompts, as they go into their stacks."""
    return [{name: value for name, value in asdict(one).items() if name != "label"} for one in prompts]


def prompt_of_wildcards(wildcards):
    """The one prompt of a job that makes all or one of its clips."""
    return [PROMPTS[wildcards.prompt]]


def generation_jobs():
    """The kinds of generation jobs: a name, the samples that a job makes, and a function for its prompts.

    With wildcards in them, one kind stands for many jobs.
    """
    if BATCH == "pair":
        return [("{prompt}/seed-{seed}", ["{prompt}/seed-{seed}"], prompt_of_wildcards)]
    if BATCH == "prompt":
        lists = ([f"{{prompt}}/seed-{seed}" for seed in seeds] for seeds in SEED_LISTS)
        return [("{prompt}/all-seeds", samples, prompt_of_wildcards) for samples in lists]
    jobs, first = [], 1
    for group in STUDY.groups:
        name = f"prompts-{first}-to-{first + len(group) - 1}"
        jobs.append((name, samples_of(group), always(group)))
        first += len(group)
    return jobs


def settings_of_samples(wildcards):
    """The settings that determine samples; each stack names those that it was made with."""
    settings = {"study": config["study"], "capture": STUDY.capture, "generation": SAMPLING}
    return settings | {"prompts": fields_of(STUDY.prompts), "seeds": STUDY.seeds}


def own_labels(wildcards):
    """The label of each prompt if the contrast is a label of the study's own."""
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
    """The plan of the interventions, with only the settings that a rule's results depend on."""
    if not PLANNED:
        return {}
    own = {name: PLANNED["settings"][name] for name in settings} | others
    drawn = PLANNED["drawn_templates"] if "draws" in settings else ()
    return PLANNED | {"settings": own, "drawn_templates": drawn, "left_out": ()}


def interventions_run(wildcards, output):
    """How many clips a job edits at a time; no result depends on it."""
    return {"batch_size": config["interventions"]["batch_size"]}


def needs(mb, minutes):
    """Time and memory of a job. Memory grows with each attempt, for the profiles that retry."""
    return {"mem_mb": lambda wildcards, attempt: int(mb * attempt), "runtime": minutes}


def results_of_layers(*arrays):
    """The outputs of an analysis for some layers: table, null maxima, and folders of arrays for later rules."""
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
    """The inputs of a map: tables and null maxima of all jobs of an analysis."""
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
    """The heading of every page: study, model, size, and links to the other pages."""
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
    """The settings with their defaults, also as text, the model's layers, what a dry run says, where results lie."""
    text = yaml.safe_dump(STUDY.settings, sort_keys=False, allow_unicode=True)
    settings = {"settings": STUDY.settings, "settings_text": text, "n_layers": STUDY.architecture.n_layers}
    return settings | {"announcement": STUDY.announcement, "results": RESULTS}


def responses(wildcards):
    """The files of answers to the listening test: all in the study's folder that are not hidden."""
    files = [path for path in Path(RESULTS, "responses").rglob("[!.]*") if path.is_file()]
    return sorted(map(str, files))


def estimated(wildcards):
    """Bytes on disk by kind of file, and MB of memory that each rule asks for."""
    return {"disk": SIZE.disk, "memory": memory_by_rule()}


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
    """The outputs of all rules in a group's file, without files of single samples, layers or templates."""

    def outputs(wildcards):
        return [
            output
            for made in workflow.rules
            if Path(made.snakefile).stem == group and not made.wildcard_names
            if original_of(made.name) != "generate"
            for output in made.output
        ]

    return outputs

"""Settings of all rules, messages of a run, and its behaviour. No rules here."""

import atexit
import gc
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import strip_wildcard_constraints
from snakemake.logging import logger

from innerear.errors import InputError
from innerear.io.fingerprints import fingerprint
from innerear.io.locks import hold
from innerear.io.names import refuse_files
from innerear.io.second_names import forget_finished
from innerear.study.controls import CONTROLLED
from innerear.study.usage import (
    counterfactual_time,
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

# Rules, or files of rules, that this study has no use for, and the setting that asks for each.
SWITCHED_OFF = {
    name: setting
    for name, setting, asked in (
        ("features", "features.enabled", STUDY.features.layers),
        ("steering", "interventions.enabled", PLANNED),
        ("counterfactual_page", "counterfactual.enabled", BLOCKS),
    )
    if not asked
}


def complete_rules():
    """Give each rule what all rules have in common, unless it has its own.

    Its log and its benchmark bear its name, and below it those parts of its first output that hold wildcards;
    a copy bears its original's name, and a profile's settings of that hold for it. It runs in the environment
    `analysis`. It runs again after an edit of the code that its script imports. A script that serves several
    analyses is told which one.
    """
    asked = workflow.resource_settings._parsed_overwrite_resources
    for made in workflow.rules:
        if made.script:
            name = original_of(made.name)
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
            analysis = made.pathvars.items.get("analysis")
            made.set_params(code=code_of(Path(made.script).name, analysis))
            if analysis:
                made.set_params(analysis=analysis)
            if setting := SWITCHED_OFF.get(Path(made.snakefile).stem) or SWITCHED_OFF.get(made.name):
                made.set_input(refusal(made.name, setting))


def refusal(rule, setting):
    """The function that refuses a target of a part that this study lacks."""

    def refuse(wildcards):
        raise WorkflowError(
            f"study {config['study']} has no use for {rule}: {setting} asks for it; where that is set, the "
            "end of `snakemake -n` says what is lacking"
        )

    return refuse


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
        if "mem_mb" in made.resources and original_of(made.name) == made.name
    }


def announce():
    """Print what the study takes, and the memory that its planned rules ask for."""
    times = [said(SIZE, RESULTS) for said in (generation_time, counterfactual_time)]
    times.append(steering_time(STUDY.n_steered, RESULTS))
    planned = {original_of(job.rule.name) for job in workflow.dag.jobs} if workflow.dag else set()
    asked = {rule: mb for rule, mb in memory_by_rule().items() if rule in planned}
    lines = [STUDY.announcement, *([memory_asked(asked)] if asked else []), *filter(None, times)]
    print(*lines, sep="\n", file=sys.stderr)


def refuse_files_for_folders():
    """Refuse a file in place of a folder of results: Snakemake would print a traceback."""
    files = [file for made in workflow.rules for file in (*made.output, *made.log, made.benchmark)]
    try:
        refuse_files(os.path.dirname(file) for file in files if file)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def refuse_second_run():
    """Allow one run of a study at a time, also from two checkouts. Snakemake's own lock outlives a killed run."""
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

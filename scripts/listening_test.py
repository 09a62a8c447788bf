"""Make the page of a listening test, blind, and its key."""

from pathlib import Path

import numpy as np

from innerear.analyses.listening_test.trials import (
    feature_trials,
    heard_features,
    label_trials,
    steered_sounds,
    steering_trials,
)
from innerear.features.activations import read_branch
from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.pages.listening import keep_page, listening_page, reader
from innerear.stacks import open_layers
from innerear.stacks.index import first_stack
from innerear.statistics.design.file import read_design

with (
    log_to(snakemake.log[0]),
    atomic(snakemake.output.page) as page,
    atomic(snakemake.output.key) as key,
    open_layers(snakemake.input.steered) as steered,
):
    asked, samples = snakemake.params.asked, read_table(snakemake.input.samples)
    rng = np.random.default_rng(snakemake.params.seed)
    trials = label_trials(samples, "emotion", each=asked["label"], rng=rng)
    if layers := snakemake.params.layers:
        table, design = read_table(snakemake.input.features), read_design(samples, snakemake.input.design)
        with first_stack(samples) as stack:
            seconds = stack.seconds[stack.complete]
        paths = dict(zip(layers, snakemake.input.activations, strict=True))
        heard = {
            branch: heard_features(
                table,
                {layer: read_branch(path, branch, samples) for layer, path in paths.items()},
                seconds,
                design,
                n=asked["features"],
                twin=branch == "random_init",
            )
            for branch in snakemake.params.branches
        }
        trials += feature_trials(heard["uncond"], heard.get("random_init", {}), each=asked, rng=rng)
    trials += steering_trials(steered, snakemake.params.pole, each=asked["steering"], rng=rng)
    text, answers = listening_page(trials, reader(samples, steered_sounds(steered)), rng)
    keep_page(text, answers, Path(snakemake.output.key).with_name("pages"))
    page.write_text(text, encoding="utf-8")
    key.write_text(answers, encoding="utf-8")

"""Rank the layers, and confirm the best one on templates that did not choose it."""

from innerear.analyses.best_layers import best_layers
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.stacks import open_layers
from innerear.statistics.design.file import read_design

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    with open_layers(snakemake.input.folds, samples) as layers:
        design = read_design(samples, snakemake.input.design)
        write_table(best_layers(layers, design, model=snakemake.params.model), snakemake.output[0])

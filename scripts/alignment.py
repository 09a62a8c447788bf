"""Compare all layers with each other, and all time bins of each layer."""

from innerear.analyses.alignment import alignment
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.stacks import open_layers
from innerear.statistics.design.file import read_design

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    with open_layers(snakemake.input.grams, samples) as grams:
        table = alignment(grams, read_design(samples, snakemake.input.design), model=snakemake.params.model)
        write_table(table, snakemake.output[0])

"""Draw the study's permutation table once, and write what the design allows."""

from innerear.design import Design
from innerear.stored_design import summary, write_design
from innerear.tables import read_table, write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    settings = snakemake.params.statistics
    design = Design(read_table(snakemake.input.samples), snakemake.params.contrast, settings["seed"])
    design = design.shuffled() if settings["shuffle_labels"] else design
    write_design(design, settings["permutations"], snakemake.output.permutations)
    write_table(summary(design, settings["permutations"]), snakemake.output.summary)

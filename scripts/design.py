"""Draw the study's permutation table once, and write what the design allows."""

from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.statistics.design import Design
from innerear.statistics.design.file import summary, write_design

with log_to(snakemake.log[0]):
    settings = snakemake.params.statistics
    design = Design(
        read_table(snakemake.input.samples),
        snakemake.params.contrast,
        settings["seed"],
        n_permutations=settings["permutations"],
        n_bootstraps=settings["bootstraps"],
    )
    design = design.shuffled() if settings["shuffle_labels"] else design
    write_design(design, snakemake.output.permutations)
    write_table(summary(design), snakemake.output.summary)

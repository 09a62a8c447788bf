"""Compare the two prompts of the study, as published and then right."""

from innerear.analyses.replication import stacks_replication
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table

with log_to(snakemake.log[0]):
    table, curves = stacks_replication(
        read_table(snakemake.input.samples), snakemake.params.layers, model=snakemake.params.model
    )
    write_table(table, snakemake.output.table)
    write_table(curves, snakemake.output.curves)

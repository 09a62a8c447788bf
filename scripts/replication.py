"""Compare the two prompts of the study, as published and then right."""

from innerear.replication import stacks_replication
from innerear.tables import read_table, write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    table, curves = stacks_replication(
        read_table(snakemake.input.samples), snakemake.params.layers, model=snakemake.params.model
    )
    write_table(table, snakemake.output.table)
    write_table(curves, snakemake.output.curves)

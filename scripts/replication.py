"""Compare the study's two prompts: first as published, then corrected."""

from innerear.analyses.replication import of_stacks
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table

with log_to(snakemake.log[0]):
    table, curves = of_stacks(
        read_table(snakemake.input.samples),
        snakemake.params.layers,
        model=snakemake.params.model,
        site=snakemake.params.site,
    )
    write_table(table, snakemake.output.table)
    write_table(curves, snakemake.output.curves)

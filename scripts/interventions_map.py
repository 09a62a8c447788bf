"""Test what the interventions of a study change."""

from innerear.analyses.interventions import interventions
from innerear.io.log import log_to
from innerear.io.tables import read_table, read_tables, write_table

with log_to(snakemake.log[0]):
    found = interventions(
        read_table(snakemake.input.samples),
        read_table(snakemake.input.clips),
        read_tables([*snakemake.input.steered, *snakemake.input.twin]),
        read_table(snakemake.input.ablated),
        read_table(snakemake.input.patched),
        poles=snakemake.params.plan["poles"],
        model=snakemake.params.model,
        statistics=snakemake.params.statistics,
    )
    write_table(found.map, snakemake.output.map)
    write_table(found.curves, snakemake.output.curves)

"""Test every dimension of one layer for a difference between labels."""

from innerear.dimensions import layer_dimensions
from innerear.stacks import GramFile
from innerear.stored_design import read_design
from innerear.tables import read_table, write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]), GramFile(snakemake.input.gram) as gram:
    result = layer_dimensions(
        gram,
        read_design(read_table(snakemake.input.samples), snakemake.input.design),
        model=snakemake.params.model,
        layer=int(snakemake.wildcards.layer),
        n_permutations=snakemake.params.statistics["permutations"],
        n_bootstraps=snakemake.params.statistics["bootstraps"],
    )
    write_table(result.table, snakemake.output.table)
    write_table(result.null, snakemake.output.null)

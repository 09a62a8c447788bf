"""Measure how far one layer tells labels apart, at every step and in every window."""

from innerear.analyses.discriminability import layer_discriminability
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.stacks import GramFile
from innerear.statistics.design_file import read_design

with log_to(snakemake.log[0]), GramFile(snakemake.input.gram) as gram:
    result = layer_discriminability(
        gram,
        read_design(read_table(snakemake.input.samples), snakemake.input.design),
        model=snakemake.params.model,
        layer=int(snakemake.wildcards.layer),
        n_permutations=snakemake.params.statistics["permutations"],
        n_bootstraps=snakemake.params.statistics["bootstraps"],
    )
    write_table(result.table, snakemake.output.table)
    write_table(result.null, snakemake.output.null)
    GramFile.write(snakemake.output.folds, result.arrays, result.coords, gram.attrs)

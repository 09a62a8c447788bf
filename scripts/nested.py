"""Predict one layer's states from label, sound, and both, on templates held out."""

from innerear.analyses.sound_and_label import layer_nested
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.stacks import GramFile
from innerear.statistics.design_file import read_design

with log_to(snakemake.log[0]), GramFile(snakemake.input.gram) as gram:
    result = layer_nested(
        gram,
        read_table(snakemake.input.clips),
        read_design(read_table(snakemake.input.samples), snakemake.input.design),
        model=snakemake.params.model,
        layer=int(snakemake.wildcards.layer),
        n_permutations=snakemake.params.statistics["permutations"],
        n_bootstraps=snakemake.params.statistics["bootstraps"],
    )
    write_table(result.table, snakemake.output.table)
    write_table(result.dimensions, snakemake.output.dimensions)
    write_table(result.null, snakemake.output.null)

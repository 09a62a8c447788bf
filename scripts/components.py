"""Find the principal components of one layer from its Gram matrices."""

from innerear.analyses.components import layer_components
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.stacks import GramFile
from innerear.statistics.design_file import read_design

with log_to(snakemake.log[0]), GramFile(snakemake.input.gram) as gram:
    result = layer_components(
        gram,
        read_design(read_table(snakemake.input.samples), snakemake.input.design),
        model=snakemake.params.model,
        layer=int(snakemake.wildcards.layer),
    )
    write_table(result.table, snakemake.output.table)
    GramFile.write(snakemake.output.scores, result.arrays, result.coords, gram.attrs)

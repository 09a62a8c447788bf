"""Lay out samples, and samples over time, by UMAP."""

from innerear.analyses.embedding import embedding
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.stacks import GramFile, open_layers
from innerear.statistics.design_file import read_design

with log_to(snakemake.log[0]), open_layers(snakemake.input.grams) as grams:
    result = embedding(
        grams,
        read_design(read_table(snakemake.input.samples), snakemake.input.design),
        model=snakemake.params.model,
    )
    write_table(result.table, snakemake.output.table)
    GramFile.write(snakemake.output.places, result.arrays, result.coords)

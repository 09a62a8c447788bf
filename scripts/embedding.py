"""Run UMAP on samples and on samples × time bins, of all layers."""

from innerear.analyses.embedding import embedding
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks import open_layers
from innerear.statistics.design_file import read_design

with log_to(snakemake.log[0]), open_layers(snakemake.input.grams) as grams:
    design = read_design(read_table(snakemake.input.samples), snakemake.input.design)
    embedding(grams, design, model=snakemake.params.model).write(dict(snakemake.output.items()))

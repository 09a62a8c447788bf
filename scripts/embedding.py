"""Run UMAP on samples and on samples × time bins, of all layers."""

from innerear.analyses.embedding import embedding
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks import open_layers, stacks_hash
from innerear.statistics.design.file import read_design

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    with open_layers(snakemake.input.grams, samples) as grams:
        design = read_design(samples, snakemake.input.design)
        result = embedding(grams, design, model=snakemake.params.model)
    result.write(dict(snakemake.output.items()), {"stacks_sha256": stacks_hash(samples)})

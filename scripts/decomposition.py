"""Divide one layer's variance between text, history and their interaction."""

from innerear.analyses.text_or_history.decomposition import of_layer
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks import open_templates
from innerear.statistics.design_file import read_design

layer = int(snakemake.wildcards.layer)
with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    with open_templates(read_table(snakemake.input.cells), layer, samples) as grams:
        result = of_layer(
            grams,
            read_design(samples, snakemake.input.design, label="emotion"),
            model=snakemake.params.model,
            weights=snakemake.wildcards.weights,
            layer=layer,
        )
    result.write(dict(snakemake.output.items()))

"""Divide the variance of each layer between text, history and their interaction."""

from tqdm import tqdm

from innerear.analyses.text_or_history.decomposition import of_layer
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks import open_templates
from innerear.statistics.design.file import read_design
from innerear.statistics.table import LayerResult, write_layers
from innerear.study.names import layers_of

with log_to(snakemake.log[0]):
    samples, cells = read_table(snakemake.input.samples), read_table(snakemake.input.cells)
    design = read_design(samples, snakemake.input.design, label="emotion")
    weights, model = snakemake.wildcards.weights, snakemake.params.model

    def found(layer: int) -> LayerResult:
        with open_templates(cells, layer, samples) as grams:
            return of_layer(grams, design, model=model, weights=weights, layer=layer)

    layers = tqdm(layers_of(snakemake.wildcards.layers), desc="decomposition", unit="layer")
    write_layers(((found(layer), {}) for layer in layers), dict(snakemake.output.items()))

"""Join the layers, correct over the whole map, and confirm the best layer on held-out templates."""

from innerear.analyses.discriminability import best_layers, discriminability_map
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.stacks import open_layers
from innerear.statistics.design_file import read_design

with log_to(snakemake.log[0]), open_layers(snakemake.input.folds) as layers:
    design = read_design(read_table(snakemake.input.samples), snakemake.input.design)
    tables = [read_table(path) for path in snakemake.input.tables]
    nulls = [read_table(path) for path in snakemake.input.nulls]
    write_table(discriminability_map(tables, nulls), snakemake.output.map)
    write_table(best_layers(layers, design, model=snakemake.params.model), snakemake.output.best)

"""Join the layers, correct over the whole map, and confirm the best layer on held-out templates."""

from innerear.discriminability import best_layers, discriminability_map
from innerear.stacks import open_layers
from innerear.stored_design import read_design
from innerear.tables import read_table, write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]), open_layers(snakemake.input.folds) as layers:
    design = read_design(read_table(snakemake.input.samples), snakemake.input.design)
    tables = [read_table(path) for path in snakemake.input.tables]
    nulls = [read_table(path) for path in snakemake.input.nulls]
    write_table(discriminability_map(tables, nulls), snakemake.output.map)
    write_table(best_layers(layers, design, model=snakemake.params.model), snakemake.output.best)

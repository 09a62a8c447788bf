"""Join the layers of all weights, and correct over the layers of each."""

from innerear.analyses.text_or_history import decomposition
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.statistics.table import layer_map

with log_to(snakemake.log[0]):
    tables = [read_table(path) for path in snakemake.input.tables]
    nulls = [read_table(path) for path in snakemake.input.nulls]
    write_table(layer_map(decomposition, tables, nulls), snakemake.output[0])

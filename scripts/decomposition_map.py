"""Join layers and listeners, and correct over all of them."""

from innerear.analyses.text_or_history.decomposition import decomposition_map
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table

with log_to(snakemake.log[0]):
    tables = [read_table(path) for path in snakemake.input.tables]
    nulls = [read_table(path) for path in snakemake.input.nulls]
    write_table(decomposition_map(tables, nulls), snakemake.output[0])

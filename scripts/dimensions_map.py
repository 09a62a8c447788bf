"""Join the layers and correct every dimension and share over the whole map."""

from innerear.analyses.dimensions import dimensions_map
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table

with log_to(snakemake.log[0]):
    tables = [read_table(path) for path in snakemake.input.tables]
    nulls = [read_table(path) for path in snakemake.input.nulls]
    write_table(dimensions_map(tables, nulls), snakemake.output[0])

"""Join the layers' nested models and correct them over layers, branches and windows."""

from innerear.nested import nested_map
from innerear.tables import read_table, write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    tables = [read_table(path) for path in snakemake.input.tables]
    nulls = [read_table(path) for path in snakemake.input.nulls]
    write_table(nested_map(tables, nulls), snakemake.output[0])

"""Join the layers and correct every lag over layers, branches, features and lags."""

from innerear.analyses.lags import lags_map
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table

with log_to(snakemake.log[0]):
    tables = [read_table(path) for path in snakemake.input.tables]
    nulls = [read_table(path) for path in snakemake.input.nulls]
    write_table(lags_map(tables, nulls), snakemake.output[0])

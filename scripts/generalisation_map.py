"""Join the layers and correct over all of them."""

from innerear.analyses.generalisation import generalisation_map
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table

with log_to(snakemake.log[0]):
    tables = [read_table(path) for path in snakemake.input.tables]
    nulls = [read_table(path) for path in snakemake.input.nulls]
    write_table(generalisation_map(tables, nulls), snakemake.output[0])

"""Join the layers of an analysis, and correct over all of them."""

from importlib import import_module

from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.statistics.table import layer_map

name = snakemake.wildcards.get("analysis", snakemake.params.analysis)
analysis = import_module(f"innerear.analyses.{name}")
with log_to(snakemake.log[0]):
    tables = [read_table(path) for path in snakemake.input.tables]
    nulls = [read_table(path) for path in snakemake.input.nulls]
    write_table(layer_map(analysis, tables, nulls), snakemake.output[0])

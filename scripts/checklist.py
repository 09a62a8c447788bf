"""Answer the checklist of the study from its tables."""

from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.pages.checklist import checklist

with log_to(snakemake.log[0]):
    tables = {name: read_table(path) for name, path in snakemake.input.items()}
    write_table(checklist(tables), snakemake.output[0])

"""Answer the checklist of the study from its tables."""

from innerear.checklist import checklist
from innerear.tables import read_table, write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    tables = {name: read_table(path) for name, path in snakemake.input.items()}
    write_table(checklist(tables), snakemake.output[0])

"""Check every capture against what must hold of it."""

from innerear.qc import check_samples
from innerear.tables import read_table, write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    write_table(check_samples(read_table(snakemake.input.samples)), snakemake.output[0])

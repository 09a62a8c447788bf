"""Check every capture from its files."""

from innerear.capture.checks import check_samples
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table

with log_to(snakemake.log[0]):
    write_table(check_samples(read_table(snakemake.input.samples)), snakemake.output[0])

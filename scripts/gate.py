"""Stop the fan-in, naming the samples, if any check failed."""

from innerear.qc import require_passed
from innerear.tables import read_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    require_passed(read_table(snakemake.input.checks), snakemake.input.checks)

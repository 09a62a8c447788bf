"""List all samples with their content hashes."""

from innerear.index import sample_table
from innerear.tables import write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    table = sample_table(snakemake.input, snakemake.params.audio, snakemake.params.labels)
    write_table(table, snakemake.output[0])

"""List the files of all templates that one model replayed."""

from innerear.io.log import log_to
from innerear.io.tables import write_table
from innerear.stacks import template_files

with log_to(snakemake.log[0]):
    write_table(template_files(snakemake.input, snakemake.params.layers), snakemake.output[0])

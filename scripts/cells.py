"""List the files of all templates as one listener heard them."""

from innerear.stacks import template_files
from innerear.tables import write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    write_table(template_files(snakemake.input, snakemake.params.layers), snakemake.output[0])

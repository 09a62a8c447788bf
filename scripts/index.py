"""List all samples with their content hashes."""

from innerear.io.log import log_to
from innerear.io.tables import write_table
from innerear.stacks.index import sample_table
from innerear.study.sample_settings import study_settings

with log_to(snakemake.log[0]):
    settings = study_settings(**snakemake.params.settings)
    table = sample_table(snakemake.input, snakemake.params.audio, snakemake.params.labels, settings)
    write_table(table, snakemake.output[0])

"""Test whether the audio itself differs between emotions."""

from innerear.analyses.audio_check import audio_check
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.statistics.design.file import read_design

with log_to(snakemake.log[0]):
    result = audio_check(
        read_table(snakemake.input.clips),
        read_design(read_table(snakemake.input.samples), snakemake.input.design),
        model=snakemake.params.model,
    )
    write_table(result.effects, snakemake.output.effects)
    write_table(result.classification, snakemake.output.classification)
    write_table(result.verdict, snakemake.output.verdict)

"""Ask whether the audio itself differs between emotions."""

from innerear.manipulation import manipulation
from innerear.stored_design import read_design
from innerear.tables import read_table, write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    result = manipulation(
        read_table(snakemake.input.clips),
        read_design(read_table(snakemake.input.samples), snakemake.input.design),
        model=snakemake.params.model,
        n_permutations=snakemake.params.statistics["permutations"],
        n_bootstraps=snakemake.params.statistics["bootstraps"],
    )
    write_table(result.effects, snakemake.output.effects)
    write_table(result.classification, snakemake.output.classification)
    write_table(result.verdict, snakemake.output.verdict)

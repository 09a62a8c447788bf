"""List all samples with their content hashes; what generation jobs kept apart has served by now."""

from pathlib import Path

from innerear.io.log import log_to
from innerear.io.second_names import forget_finished
from innerear.io.tables import write_table
from innerear.stacks.index import sample_table
from innerear.study.sample_settings import study_settings

with log_to(snakemake.log[0]):
    # Snakemake has taken note of every generation job. A run that is killed after its last job, and the next
    # one, which has nothing to do, would leave these names.
    unfinished = Path(snakemake.params.unfinished)
    forget_finished(unfinished, unfinished.parent)
    settings = study_settings(**snakemake.params.settings)
    table = sample_table(snakemake.input, snakemake.params.audio, snakemake.params.labels, settings)
    write_table(table, snakemake.output[0])

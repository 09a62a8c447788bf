"""Compare the likelihood of every clip's codes under every text of its template."""

from innerear.analyses.text_or_history.likelihood import likelihood_table
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.stacks import open_templates
from innerear.statistics.design.file import read_design

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    with open_templates(read_table(snakemake.input.cells), samples=samples) as files:
        table = likelihood_table(
            files,
            read_design(samples, snakemake.input.design, label="emotion"),
            model=snakemake.params.model,
            weights=snakemake.wildcards.weights,
        )
    write_table(table, snakemake.output[0])

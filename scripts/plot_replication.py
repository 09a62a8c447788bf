"""Draw the cosine of the two prompts over the steps, as published and then right."""

from innerear.figures.replication import replication_curves
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    emotions = tuple(read_table(snakemake.input.samples)["emotion"].unique())
    curves, model = read_table(snakemake.input.curves), snakemake.params.model
    save(replication_curves(curves, model=model, emotions=emotions), *snakemake.output)

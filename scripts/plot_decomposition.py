"""Draw the shares of text and history, when one overtakes the other, and the likelihood under other texts."""

from innerear.figures.decomposition import (
    likelihood_matrix,
    shares_over_layers,
    shares_over_steps,
    text_maps,
    text_probes,
)
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table, read_tables

with log_to(snakemake.log[0]):
    table, likelihood = read_table(snakemake.input.map), read_tables(snakemake.input.likelihood)
    model, out = snakemake.params.model, snakemake.output
    save(shares_over_layers(table, model=model), out.layers, out.layers_png)
    save(shares_over_steps(table, model=model), out.steps, out.steps_png)
    save(text_maps(table, model=model), out.maps, out.maps_png)
    save(text_probes(table, model=model), out.probes, out.probes_png)
    save(likelihood_matrix(likelihood, model=model), out.likelihood, out.likelihood_png)

"""Draw the maps of discriminability, its curves over the steps, and the ranks of the layers."""

from innerear.figures.discriminability import discriminability_curves, discriminability_maps, layer_ranks
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    table, best = read_table(snakemake.input.map), read_table(snakemake.input.best)
    model, contrast, out = snakemake.params.model, snakemake.params.contrast, snakemake.output
    save(discriminability_maps(table, model=model, contrast=contrast), out.maps, out.maps_png)
    save(discriminability_curves(table, model=model, contrast=contrast), out.curves, out.curves_png)
    save(layer_ranks(table, best, model=model, contrast=contrast), out.ranks, out.ranks_png)

"""Draw how well each layer predicts each acoustic feature, and how much of it goes beyond the label."""

from innerear.correlation import BEYOND
from innerear.figures.correlation import r2_map
from innerear.figures.style import save
from innerear.tables import read_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    table, model, out = read_table(snakemake.input.map), snakemake.params.model, snakemake.output
    save(r2_map(table, model=model), out.heatmap, out.heatmap_png)
    save(r2_map(table, model=model, statistic=BEYOND), out.beyond, out.beyond_png)

"""Draw how well each layer predicts each acoustic feature, and how much of it goes beyond the label."""

from innerear.analyses.sound import BEYOND
from innerear.figures.sound import r2_map
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    table, model, out = read_table(snakemake.input.map), snakemake.params.model, snakemake.output
    save(r2_map(table, model=model), out.heatmap, out.heatmap_png)
    save(r2_map(table, model=model, statistic=BEYOND), out.beyond, out.beyond_png)

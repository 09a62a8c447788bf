"""Draw which layers, and which moments, arrange the samples alike."""

from innerear.figures.alignment import layer_alignment, time_alignment
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    table, out = read_table(snakemake.input.table), snakemake.output
    save(layer_alignment(table, model=snakemake.params.model), out.layers, out.layers_png)
    save(time_alignment(table, model=snakemake.params.model), out.time, out.time_png)

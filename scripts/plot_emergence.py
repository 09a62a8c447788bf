"""Draw evidence and onsets over the steps, and early against late."""

from innerear.figures.emergence import early_late, emergence_curves
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    table, curves = read_table(snakemake.input.map), read_table(snakemake.input.curves)
    model, contrast, out = snakemake.params.model, snakemake.params.contrast, snakemake.output
    save(emergence_curves(table, curves, model=model, contrast=contrast), out.curves, out.curves_png)
    save(early_late(table, model=model, contrast=contrast), out.late, out.late_png)

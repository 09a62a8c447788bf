"""Draw how probes of one time read another, and of one branch the other."""

from innerear.figures.generalisation import time_squares, transfer_curves
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    table = read_table(snakemake.input.map)
    model, contrast, out = snakemake.params.model, snakemake.params.contrast, snakemake.output
    save(time_squares(table, model=model, contrast=contrast), out.squares, out.squares_png)
    save(transfer_curves(table, model=model, contrast=contrast), out.transfer, out.transfer_png)

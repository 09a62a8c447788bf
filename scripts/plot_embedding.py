"""Draw the UMAP of samples, and of samples over time."""

from innerear.figures.embedding import embedded_bins, embedded_samples
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks import GramFile

with log_to(snakemake.log[0]), GramFile(snakemake.input.places) as places:
    samples, table = read_table(snakemake.input.samples), read_table(snakemake.input.table)
    out, named = snakemake.output, {name: snakemake.params[name] for name in ("model", "contrast")}
    save(embedded_samples(places, table, samples, **named), out.samples, out.samples_png)
    save(embedded_bins(places, table, samples, **named), out.bins, out.bins_png)

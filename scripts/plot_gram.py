"""Draw what a raw cosine would have seen."""

from innerear.figures.diagnostics import residual_diagnostics
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.stacks import open_layers

with log_to(snakemake.log[0]), open_layers(snakemake.input.grams) as grams:
    save(residual_diagnostics(grams, model=snakemake.params.model), *snakemake.output)

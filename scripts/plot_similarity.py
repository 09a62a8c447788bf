"""Draw the similarity matrices, the five strata over the steps, and the map of the emotion effect."""

from innerear.figures.similarity import effect_map, similarity_matrices, strata_curves
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks import open_layers

with log_to(snakemake.log[0]), open_layers(snakemake.input.matrices) as layers:
    samples, table, out = (
        read_table(snakemake.input.samples),
        read_table(snakemake.input.map),
        snakemake.output,
    )
    model, contrast = snakemake.params.model, snakemake.params.contrast
    for measure, path, png in (
        ("centred", out.matrices, out.matrices_png),
        ("standardised", out.standardised, out.standardised_png),
        ("raw (diagnostic)", out.raw, out.raw_png),
    ):
        save(similarity_matrices(layers, samples, model=model, measure=measure, contrast=contrast), path, png)
    save(strata_curves(table, model=model), out.strata, out.strata_png)
    save(effect_map(table, model=model), out.effect, out.effect_png)

"""Put the features that differ most surely on a page, with moments to listen to."""

from innerear.features.activations import read_branch
from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.pages.features import features_page
from innerear.pages.heading import Heading
from innerear.stacks.index import first_stack
from innerear.statistics.design.file import read_design

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    layers = zip(snakemake.params.layers, snakemake.input.activations, strict=True)
    activations = {layer: read_branch(path, "uncond", samples) for layer, path in layers}
    with first_stack(samples) as stack:
        seconds = stack.seconds[stack.complete]
    text = features_page(
        read_table(snakemake.input.table),
        read_table(snakemake.input.described),
        activations,
        seconds,
        read_design(samples, snakemake.input.design),
        Heading(**snakemake.params.heading),
    )
    with atomic(snakemake.output[0]) as page:
        page.write_text(text, encoding="utf-8")

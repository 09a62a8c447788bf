"""Put the steered clips on a page with a slider of the dose."""

from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.pages.figures import read_figures
from innerear.pages.heading import Heading
from innerear.pages.steering import steering_page
from innerear.stacks import open_layers

with log_to(snakemake.log[0]), open_layers(snakemake.input.sounds) as files:
    text = steering_page(
        files,
        snakemake.params.plan["neutral"],
        Heading(**snakemake.params.heading),
        poles=snakemake.params.plan["poles"],
        figures=read_figures(snakemake.input.figures, snakemake.input.captions, snakemake),
    )
    with atomic(snakemake.output[0]) as page:
        page.write_text(text, encoding="utf-8")

"""Put the clips of one template on a page, each with its likelihood under every text of the template."""

from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.pages.counterfactual import mismatch_page
from innerear.stacks import template_part

with log_to(snakemake.log[0]), template_part(snakemake.input.heard[0]) as likelihood:
    page = mismatch_page(
        read_table(snakemake.input.samples),
        likelihood,
        title=snakemake.params.title,
        model=snakemake.params.model,
    )
    with atomic(snakemake.output[0]) as file:
        file.write_text(page, encoding="utf-8")

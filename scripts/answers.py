"""Put the study's answers on the page that is opened first, with their figures and captions."""

from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.pages.figures import read_figures
from innerear.pages.heading import Heading
from innerear.pages.index import index_page

with log_to(snakemake.log[0]), atomic(snakemake.output[0]) as page:
    text = index_page(
        read_table(snakemake.input.findings),
        Heading(**snakemake.params.heading),
        figures=read_figures(snakemake.input.figures, snakemake.input.captions, snakemake),
        samples=read_table(snakemake.input.samples),
        design=read_table(snakemake.input.design),
    )
    page.write_text(text, encoding="utf-8")

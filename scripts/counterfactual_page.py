"""Put the figures, and the clips of one template with their likelihood under its texts, on a page."""

from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.pages.counterfactual import counterfactual_page
from innerear.pages.figures import read_figures
from innerear.pages.heading import Heading
from innerear.stacks import require_stacks, template_part

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    with template_part(snakemake.input.likelihood[0]) as likelihood:
        require_stacks(likelihood, samples[samples["template"] == likelihood.attrs["template"]])
        text = counterfactual_page(
            samples,
            likelihood,
            Heading(**snakemake.params.heading),
            figures=read_figures(snakemake.input.figures, snakemake.input.captions, snakemake),
            templates=snakemake.params.templates,
        )
    with atomic(snakemake.output[0]) as page:
        page.write_text(text, encoding="utf-8")

"""Put on a page what was checked, asked, estimated and used, and how to describe and cite the study."""

from pathlib import Path

from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.pages.heading import Heading
from innerear.pages.record import Estimated, record_page
from innerear.stacks.index import first_stack

with log_to(snakemake.log[0]), atomic(snakemake.output[0]) as page:
    given, params = snakemake.input, snakemake.params
    samples = read_table(given.samples)
    with first_stack(samples) as stack:
        attrs = dict(stack.attrs)
    text = record_page(
        Heading(**params.heading),
        samples=samples,
        attrs=attrs,
        **{name: read_table(given[name]) for name in ("checks", "verification", "checklist", "design")},
        **params.asked,
        estimated=Estimated(**params.estimated),
        citation=Path(given.citation).read_text("utf-8"),
        fetched="".join(Path(pins).read_text("utf-8") for pins in given.pins),
    )
    page.write_text(text, encoding="utf-8")

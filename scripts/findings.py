"""Answer the study's questions on one page."""

from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_tables, write_table
from innerear.pages.findings import Asked, findings, findings_page, read_controls

with log_to(snakemake.log[0]), atomic(snakemake.output.page) as page:
    named = dict(snakemake.input.items())
    controls = read_controls([*named.pop("controls"), *named.pop("studies")])
    tables = {name: read_tables(paths) for name, paths in named.items() if paths}
    table = findings(tables, asked=Asked(**snakemake.params.asked), controls=controls)
    write_table(table, snakemake.output.table)
    text = findings_page(table, title=snakemake.params.study, model=snakemake.params.model)
    page.write_text(text, encoding="utf-8")

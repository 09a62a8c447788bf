"""Answer the study's questions on one page."""

from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_tables, write_table
from innerear.pages.findings import Asked, findings, findings_page

with log_to(snakemake.log[0]), atomic(snakemake.output.page) as page:
    tables = {name: read_tables(paths) for name, paths in snakemake.input.items()}
    table = findings(tables, asked=Asked(**snakemake.params.asked))
    write_table(table, snakemake.output.table)
    text = findings_page(table, title=snakemake.params.study, model=snakemake.params.model)
    page.write_text(text, encoding="utf-8")

"""Answer the study's questions."""

from innerear.io.log import log_to
from innerear.io.tables import read_tables, write_table
from innerear.pages.findings import Asked, findings, read_controls

with log_to(snakemake.log[0]):
    named = dict(snakemake.input.items())
    controls = read_controls([*named.pop("controls"), *named.pop("studies")])
    tables = {name: read_tables(paths) for name, paths in named.items() if paths}
    asked = Asked(**snakemake.params.asked)
    write_table(findings(tables, asked=asked, controls=controls), snakemake.output[0])

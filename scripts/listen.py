"""Put all clips on one page, each with a player."""

from innerear.listening import contact_sheet
from innerear.tables import read_table
from innerear.tracking import atomic, log_to

with log_to(snakemake.log[0]), atomic(snakemake.output[0]) as page:
    samples = read_table(snakemake.input.samples)
    sheet = contact_sheet(
        samples,
        samples["audio"],
        title=snakemake.params.study,
        model=snakemake.params.model,
        clips=read_table(snakemake.input.clips),
    )
    page.write_text(sheet, encoding="utf-8")

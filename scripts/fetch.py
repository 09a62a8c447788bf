"""Bring the model's weights into the cache, and write their revisions."""

from innerear.io.log import log_to
from innerear.models.fetching import describe, fetch, write_pins

with log_to(snakemake.log[0]):
    found = fetch(**snakemake.params.model)
    print(describe(found))
    write_pins(found, snakemake.output[0])

"""Draw how many dimensions of each layer differ, and which."""

from innerear.figures.dimensions import dimension_shares
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    save(dimension_shares(read_table(snakemake.input.map), model=snakemake.params.model), *snakemake.output)

"""Draw how well each layer predicts each acoustic feature."""

from innerear.figures.correlation import r2_map
from innerear.figures.style import save
from innerear.tables import read_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    save(r2_map(read_table(snakemake.input.map), model=snakemake.params.model), *snakemake.output)

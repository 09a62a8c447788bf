"""Draw how the states go with the sound before and after."""

from innerear.figures.lags import lag_curves
from innerear.figures.style import save
from innerear.tables import read_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    save(lag_curves(read_table(snakemake.input.map), model=snakemake.params.model), *snakemake.output)

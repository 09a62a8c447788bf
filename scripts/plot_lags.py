"""Draw how the states go with the sound before and after."""

from innerear.figures.lags import lag_curves
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    save(lag_curves(read_table(snakemake.input.map), model=snakemake.params.model), *snakemake.output)

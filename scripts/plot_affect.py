"""Draw what each layer knows of valence and arousal, or why that cannot be asked."""

from innerear.figures.affect import affect_curves
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    save(affect_curves(read_table(snakemake.input.map), model=snakemake.params.model), *snakemake.output)

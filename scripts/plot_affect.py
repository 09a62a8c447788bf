"""Draw what each layer knows of valence and arousal, or why that cannot be asked."""

from innerear.figures.affect import affect_curves
from innerear.figures.style import save
from innerear.tables import read_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    save(affect_curves(read_table(snakemake.input.map), model=snakemake.params.model), *snakemake.output)

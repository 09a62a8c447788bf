"""Draw how much of the states label and sound explain, layer by layer."""

import pandas as pd

from innerear.figures.sound_and_label import shares
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    dimensions = pd.concat([read_table(path) for path in snakemake.input.dimensions], ignore_index=True)
    figure = shares(read_table(snakemake.input.map), dimensions, model=snakemake.params.model)
    save(figure, *snakemake.output)

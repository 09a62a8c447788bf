"""Draw the scree, the plane of the samples, and the prompts' paths through it."""

import pandas as pd

from innerear.figures.components import component_plane, scree, trajectories
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks import open_layers

with log_to(snakemake.log[0]), open_layers(snakemake.input.scores) as scores:
    samples, out = read_table(snakemake.input.samples), snakemake.output
    table = pd.concat([read_table(path) for path in snakemake.input.tables], ignore_index=True)
    named = {name: snakemake.params[name] for name in ("model", "contrast")}
    save(scree(table, model=snakemake.params.model), out.scree, out.scree_png)
    save(component_plane(scores, table, samples, **named), out.plane, out.plane_png)
    save(trajectories(scores, samples, **named), out.trajectories, out.trajectories_png)

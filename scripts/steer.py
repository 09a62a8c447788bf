"""Compose and measure steered clips of one layer."""

import sys

from innerear.interventions.fitting import Directions
from innerear.interventions.steering import steer, write_sounds
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import write_table
from innerear.models import load_model
from innerear.study.interventions import Interventions

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    model = load_model(**snakemake.params.model)
    plan = Interventions.of_job(snakemake.params.plan, snakemake.params.run)
    layer = int(snakemake.wildcards.layer)
    directions = Directions(snakemake.input.directions)
    table, sounds = steer(model, directions, plan, layer, snakemake.params.generation)
    write_sounds(sounds, snakemake.output.sounds, model.sample_rate, layer)
    write_table(table.assign(weights="trained"), snakemake.output.table)
    print(f"made {len(table)} clips", file=sys.stderr)

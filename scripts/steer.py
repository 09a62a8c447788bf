"""Compose and measure steered clips: of one layer, or, of the random twin, of all layers at one dose."""

from innerear.interventions.fitting import Directions
from innerear.interventions.steering import steer_layer, steer_twin, write_sounds
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import write_table
from innerear.models import load_model
from innerear.study.interventions import Interventions

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    model, plan = load_model(**snakemake.params.model), Interventions(**snakemake.params.plan)
    job = model, Directions(snakemake.input.directions), plan, snakemake.params.generation
    if snakemake.rule == "steer_twin":
        table = steer_twin(*job)
    else:
        table, sounds = steer_layer(*job, int(snakemake.wildcards.layer))
        write_sounds(sounds, snakemake.output.sounds, model.sample_rate, int(snakemake.wildcards.layer))
    write_table(table, snakemake.output.table)

"""Compose and measure clips of emotional texts without a subspace of the states."""

from innerear.interventions.fitting import Directions
from innerear.interventions.steering import ablate
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import write_table
from innerear.models import load_model
from innerear.study.interventions import Interventions

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    table = ablate(
        load_model(**snakemake.params.model),
        Directions(snakemake.input.directions),
        Interventions.of_job(snakemake.params.plan, snakemake.params.run),
        snakemake.params.prompts,
        snakemake.params.generation,
    )
    write_table(table, snakemake.output[0])

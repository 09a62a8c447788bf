"""Fit the directions of the model's random twin, and steer clips along them at all layers at one dose."""

from innerear.interventions.fitting import Directions, fit, replayed_states
from innerear.interventions.steering import steer_twin
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.models import load_model
from innerear.study.interventions import Interventions

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    lease_gpu(snakemake.params.model["device"])
    model = load_model(**snakemake.params.model)
    plan = Interventions.of_job(snakemake.params.plan, snakemake.params.run)
    site, path = snakemake.params.site, snakemake.output.directions
    states = replayed_states(samples, plan.layers, site, model)
    first = plan.settings["sources"][:1]  # all that the twin is steered along
    about = {"site": site, "weights": "random_init"}
    fit(states, samples, plan.layers, plan.poles, first, list(plan.neutral), path, about)
    table = steer_twin(model, Directions(path), plan, snakemake.params.generation)
    write_table(table, snakemake.output.table)

"""Fit the directions between the poles at each layer, from the states of all clips."""

from innerear.interventions.fitting import fit, replayed_states, stored_states
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.models import load_model

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    plan, site = snakemake.params.plan, snakemake.params.site
    if snakemake.wildcards.weights == "trained":
        states = stored_states(samples, plan["layers"], site)
    else:
        lease_gpu(snakemake.params.model["device"])
        states = replayed_states(samples, plan["layers"], site, load_model(**snakemake.params.model))
    fit(
        states,
        samples,
        plan["layers"],
        plan["poles"],
        plan["settings"]["sources"],
        list(plan["neutral"]),
        snakemake.output[0],
        {"site": site, "weights": snakemake.wildcards.weights},
    )

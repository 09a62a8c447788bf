"""Fit the directions between the poles at each layer, from the states of all clips."""

from pathlib import Path

from innerear.interventions.fitting import ClipFeatures, fit, replayed_states, stored_states
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.models import load_model

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    plan, site = snakemake.params.plan, snakemake.params.site
    sources, features = plan["settings"]["sources"], {}
    if snakemake.wildcards.weights == "trained":
        own = zip(plan["layers"], snakemake.input.fires, snakemake.input.dictionaries, strict=False)
        features = {
            layer: ClipFeatures.read(clips, Path(folder, "seed-0"), samples) for layer, clips, folder in own
        }
        states = stored_states(samples, plan["layers"], site)
    else:
        sources = sources[:1]  # all that the twin is steered along
        lease_gpu(snakemake.params.model["device"])
        states = replayed_states(samples, plan["layers"], site, load_model(**snakemake.params.model))
    fit(
        states,
        samples,
        plan["layers"],
        plan["poles"],
        sources,
        list(plan["neutral"]),
        snakemake.output[0],
        {"site": site, "weights": snakemake.wildcards.weights},
        features,
    )

"""Fit the directions between the poles at each layer, from the states of all clips."""

from pathlib import Path

from innerear.interventions.fitting import ClipFeatures, fit, stored_states
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    plan, site = snakemake.params.plan, snakemake.params.site
    dictionaries = zip(plan["layers"], snakemake.input.fires, snakemake.input.dictionaries, strict=False)
    fit(
        stored_states(samples, plan["layers"], site),
        samples,
        plan["layers"],
        plan["poles"],
        plan["settings"]["sources"],
        list(plan["neutral"]),
        snakemake.output[0],
        {"site": site, "weights": "trained"},
        {layer: ClipFeatures.read(clips, Path(of, "seed-0"), samples) for layer, clips, of in dictionaries},
    )

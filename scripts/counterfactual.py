"""Hear the clips of a template under every text of the template."""

from innerear.counterfactual import replay_template
from innerear.devices import lease_gpu
from innerear.models import load_model
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    replay_template(
        load_model(**snakemake.params.model),
        snakemake.input.stacks,
        dict(zip(snakemake.params.layers, snakemake.output.layers, strict=True)),
        snakemake.output.likelihood,
        **snakemake.params.texts,
        **snakemake.params.run,
        site=snakemake.params.site,
        keep_states=snakemake.params.keep_states,
        dtype=snakemake.params.dtype,
    )

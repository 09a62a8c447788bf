"""Hear the clips of one prompt once more, at other layers or sites."""

from innerear.devices import lease_gpu
from innerear.models import load_model
from innerear.replay import replay_samples
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    replay_samples(
        load_model(**snakemake.params.model),
        snakemake.input.stacks,
        snakemake.output,
        capture=snakemake.params.capture,
    )

"""Replay the clips of one prompt and record other layers or sites."""

import sys

from innerear.capture.replay import replay_samples
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.models import load_model

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    replay_samples(
        load_model(**snakemake.params.model),
        snakemake.input.stacks,
        snakemake.output,
        capture=snakemake.params.capture,
        samples=snakemake.params.samples,
    )
    print(f"made {len(snakemake.output)} passes", file=sys.stderr)

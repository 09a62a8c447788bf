"""Replay the clips of templates under every text of their template."""

import sys

from innerear.capture.counterfactual import replay_templates
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.models import load_model
from innerear.stacks import stacks_hash

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    templates = []
    for name, texts in snakemake.params.texts.items():
        own = samples[samples["template"] == name]
        of = {"stacks": own["stack"].tolist(), "contents": own["content_sha256"].tolist()}
        templates.append(of | {"stacks_sha256": stacks_hash(own)} | texts)
    lease_gpu(snakemake.params.model["device"])
    made = replay_templates(
        load_model(**snakemake.params.model),
        templates,
        snakemake.output,
        made_with=[snakemake.params.model, snakemake.params.code],
        layers=snakemake.params.layers,
        **snakemake.params.run,
        site=snakemake.params.site,
        keep_states=snakemake.params.keep_states,
        dtype=snakemake.params.dtype,
    )
    print(f"made {made} passes", file=sys.stderr)

"""Replay the clips of a template under every text of the template."""

from innerear.capture.counterfactual import replay_template
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.models import load_model
from innerear.stacks import stacks_hash

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    own = samples[samples["template"] == snakemake.wildcards.template]
    lease_gpu(snakemake.params.model["device"])
    replay_template(
        load_model(**snakemake.params.model),
        own["stack"].tolist(),
        snakemake.output[0],
        contents=own["content_sha256"].tolist(),
        stacks_sha256=stacks_hash(own),
        layers=snakemake.params.layers,
        **snakemake.params.texts,
        **snakemake.params.run,
        site=snakemake.params.site,
        keep_states=snakemake.params.keep_states,
        dtype=snakemake.params.dtype,
    )

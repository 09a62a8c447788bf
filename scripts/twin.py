"""Replay all clips with the model's random weights, and record the layers that get dictionaries."""

from innerear.capture.replay import replay_samples
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.models import load_model
from innerear.study.prompts import batches

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    lease_gpu(snakemake.params.model["device"])
    model = load_model(**snakemake.params.model)
    jobs = zip(samples["stack"], samples["sample_id"], strict=True)
    for batch in batches(jobs, snakemake.params.batch_size):
        stacks, names = zip(*batch, strict=True)
        outputs = [f"{snakemake.output[0]}/{name}.h5" for name in names]
        capture = snakemake.params.capture
        replay_samples(model, stacks, outputs, capture=capture, samples=list(names), twin=True)

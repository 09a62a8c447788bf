"""Replay a sample of each prompt, also by a second implementation, and make one of a kind again."""

from innerear.capture.verification import verify_samples
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.models import load_model
from innerear.models.transformers import witness_of

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    model = load_model(**snakemake.params.model)
    witness = witness_of(model) if snakemake.params.witness else None
    samples = read_table(snakemake.input.samples)
    checks = verify_samples(samples, model, snakemake.params.generation, witness, *snakemake.input.recording)
    write_table(checks, snakemake.output[0])

"""Replay one sample of each prompt and regenerate one, to compare the captures with the model."""

from innerear.capture.verification import verify_samples
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.models import load_model

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    model = load_model(**snakemake.params.model)
    samples = read_table(snakemake.input.samples)
    write_table(verify_samples(samples, model, snakemake.params.generation), snakemake.output[0])

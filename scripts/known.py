"""Train on sums of code embeddings: the positive control."""

from innerear.features.model_job import known_rows
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.models import load_model

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    model = load_model(**snakemake.params.model)
    samples = read_table(snakemake.input.samples)
    write_table(known_rows(model, samples, memory_gb=snakemake.params.memory_gb), snakemake.output[0])

"""Replay held-out clips with reconstructions in place of states."""

from innerear.features.model_job import splice_table
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.models import load_model

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    lease_gpu(snakemake.params.model["device"])
    model = load_model(**snakemake.params.model)
    run = {name: snakemake.params[name] for name in ("folder", "layers", "site", "guidance", "memory_gb")}
    write_table(splice_table(model, samples, **run), snakemake.output.costs)

"""Describe the features on the page: near directions, codes that they read, the likelihood without them."""

from innerear.analyses.features import surest
from innerear.features.activations import read_branch
from innerear.features.describe import describe
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.models import load_model

with log_to(snakemake.log[0]):
    samples, chosen = read_table(snakemake.input.samples), surest(read_table(snakemake.input.table))
    layers = zip(snakemake.params.layers, snakemake.input.activations, strict=True)
    activations = {layer: read_branch(path, "uncond", samples) for layer, path in layers}
    lease_gpu(snakemake.params.model["device"])
    model = load_model(**snakemake.params.model)
    run = {name: snakemake.params[name] for name in ("folder", "site", "guidance")}
    write_table(describe(model, samples, chosen, activations, **run), snakemake.output[0])

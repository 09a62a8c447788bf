"""Run an analysis, layer after layer."""

from importlib import import_module

from tqdm import tqdm

from innerear.analyses.layer import analyse
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks.inputs import open_inputs
from innerear.statistics.design.file import read_design
from innerear.statistics.table import write_layers

name = snakemake.wildcards.get("analysis", snakemake.params.analysis)
analysis = import_module(f"innerear.analyses.{name}")
named = dict(snakemake.input.items())
with log_to(snakemake.log[0]):
    samples = read_table(named.pop("samples"))
    design = read_design(samples, named.pop("design"), snakemake.params.label)
    with open_inputs(named, samples) as inputs:
        grams, model = inputs.pop("grams"), snakemake.params.model
        found = (
            (analyse(analysis, gram, design, model=model, layer=layer, **inputs), gram.attrs)
            for layer, gram in tqdm(grams.items(), desc=name, unit="layer")
        )
        write_layers(found, dict(snakemake.output.items()))

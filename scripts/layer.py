"""Run the analysis that the rule is named after on one layer."""

from importlib import import_module

from innerear.analyses.layer import analyse
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks.inputs import open_inputs
from innerear.statistics.design_file import read_design

name = snakemake.wildcards.get("analysis", snakemake.rule)
analysis = import_module(f"innerear.analyses.{name}")
named = dict(snakemake.input.items())
with log_to(snakemake.log[0]):
    samples = read_table(named.pop("samples"))
    design = read_design(samples, named.pop("design"), snakemake.params.label)
    with open_inputs(named, samples) as inputs:
        layer = int(snakemake.wildcards.layer)
        result = analyse(analysis, design=design, model=snakemake.params.model, layer=layer, **inputs)
        result.write(dict(snakemake.output.items()), inputs["gram"].attrs)

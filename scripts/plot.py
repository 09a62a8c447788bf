"""Draw the figures of an analysis."""

from importlib import import_module

from innerear.figures.drawing.style import save
from innerear.io.log import log_to
from innerear.stacks.inputs import open_inputs

drawing = import_module(f"innerear.figures.{snakemake.params.analysis}")
with log_to(snakemake.log[0]), open_inputs(dict(snakemake.input.items())) as inputs:
    for name, figure in drawing.draw(**inputs, **snakemake.params.named).items():
        save(figure, snakemake.output[name], snakemake.output[f"{name}_png"])

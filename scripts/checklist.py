"""Answer the checklist of the study from its tables."""

from innerear.checklist import checklist
from innerear.design import Design
from innerear.tables import read_table, write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    tables = {name: read_table(snakemake.input[name]) for name in ("checks", "similarity", "clips")}
    statistics = snakemake.params.statistics
    design = Design(read_table(snakemake.input.samples), seed=statistics["seed"])
    write_table(checklist(tables, design, statistics["permutations"]), snakemake.output[0])

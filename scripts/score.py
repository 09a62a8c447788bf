"""Score the answers of a listening test."""

from pathlib import Path

from innerear.io.log import log_to
from innerear.io.tables import write_table
from innerear.pages.listening import score_answers

with log_to(snakemake.log[0]):
    results = Path(snakemake.output[0]).parents[1]
    write_table(score_answers(snakemake.input, results), snakemake.output[0])

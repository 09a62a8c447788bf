"""Score the answers of a listening test."""

from innerear.io.log import log_to
from innerear.io.tables import write_table
from innerear.pages.listening import score_answers

with log_to(snakemake.log[0]):
    write_table(score_answers(snakemake.input, snakemake.params.results), snakemake.output[0])

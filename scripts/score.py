"""Score the answers of a listening test."""

from innerear.analyses.listening_test import scores
from innerear.io.log import log_to
from innerear.io.tables import write_table
from innerear.pages.listening import read_answers, read_key

with log_to(snakemake.log[0]):
    trials, page = read_key(snakemake.input.key, snakemake.input.page)
    answers = read_answers(snakemake.input.responses, trials, page)
    write_table(scores(trials, answers), snakemake.output[0])

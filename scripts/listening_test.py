"""Make the page of a listening test, blind, and its key."""

import numpy as np

from innerear.analyses.listening_test import intruders
from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.pages.listening import listening_page

with log_to(snakemake.log[0]), atomic(snakemake.output.page) as page, atomic(snakemake.output.key) as key:
    samples, rng = read_table(snakemake.input.samples), np.random.default_rng(snakemake.params.seed)
    trials = intruders(samples, "emotion", each=snakemake.params.each, rng=rng)
    text, answers = listening_page(trials, samples, rng)
    page.write_text(text, encoding="utf-8")
    key.write_text(answers, encoding="utf-8")

"""Pass on the samples if all checks passed; else stop with the failed checks."""

import pandas as pd

from innerear.capture.checks import summarise
from innerear.capture.gate import require_passed
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table

with log_to(snakemake.log[0]):
    index = read_table(snakemake.input.samples)
    checks = [read_table(path) for path in snakemake.input.checks]
    require_passed(checks, snakemake.input.checks, index, **snakemake.params.expected)
    write_table(summarise(pd.concat(checks, ignore_index=True)), snakemake.output.summary)
    write_table(index, snakemake.output.samples)

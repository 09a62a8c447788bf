"""Pass on the samples if all checks passed; else stop with the failed checks."""

import pandas as pd

from innerear.capture.checks import require_passed, summarise
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table

with log_to(snakemake.log[0]):
    checks = pd.concat([read_table(path) for path in snakemake.input.checks], ignore_index=True)
    require_passed(checks, snakemake.input.checks[0])
    write_table(summarise(checks), snakemake.output.summary)
    write_table(read_table(snakemake.input.samples), snakemake.output.samples)

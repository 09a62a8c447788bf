"""Join the clip features, warn where emotions differ in what could be measured, list the frame features."""

import pandas as pd

from innerear.acoustics.frame_files import frame_files
from innerear.acoustics.tables import validity
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table

with log_to(snakemake.log[0]):
    clips = pd.concat([read_table(path) for path in snakemake.input.clips], ignore_index=True)
    write_table(validity(clips, read_table(snakemake.input.samples)), snakemake.output.validity)
    write_table(clips, snakemake.output.clips)
    write_table(frame_files(snakemake.input.frames), snakemake.output.frames)

"""Join the clip features, warn where emotions differ in what could be measured, list the frame features."""

from innerear.acoustics.frame_files import frame_files
from innerear.acoustics.tables import require_clips, validity
from innerear.io.log import log_to
from innerear.io.tables import read_table, read_tables, write_table

with log_to(snakemake.log[0]):
    clips, samples = read_tables(snakemake.input.clips), read_table(snakemake.input.samples)
    require_clips(clips, samples)
    write_table(validity(clips, samples), snakemake.output.validity)
    write_table(clips, snakemake.output.clips)
    write_table(frame_files(snakemake.input.frames, samples), snakemake.output.frames)

"""Measure the clips of one template: features of each clip and of each codec frame."""

from innerear.acoustics import measure_clips, write_frames
from innerear.tables import write_table
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    clips, frames = measure_clips(
        snakemake.input.audio, snakemake.params.samples, snakemake.params.frame_rate
    )
    write_table(clips, snakemake.output.clips)
    write_frames(frames, snakemake.output.frames)

"""Measure clips of some templates: features of each clip and of each codec frame."""

from innerear.acoustics.clips import measure_clips
from innerear.acoustics.frame_files import write_frames
from innerear.io.log import log_to
from innerear.io.tables import write_table

with log_to(snakemake.log[0]):
    clips, frames = measure_clips(
        snakemake.input.audio, snakemake.params.samples, snakemake.params.frame_rate
    )
    write_table(clips, snakemake.output.clips)
    write_frames(frames, snakemake.output.frames)

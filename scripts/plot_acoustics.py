"""Draw the acoustic features by emotion, and all clips as mel spectrograms."""

from innerear.acoustics.frame_files import read_frames
from innerear.figures.acoustics import features_by_emotion
from innerear.figures.samples import spectrogram_sheet
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    samples, clips = read_table(snakemake.input.samples), read_table(snakemake.input.clips)
    model, out = snakemake.params.model, snakemake.output
    save(features_by_emotion(clips, samples, model=model), out.features, out.features_png)
    mel = read_frames(read_table(snakemake.input.frames)["path"], samples["sample_id"].tolist())["mel"].values
    sheet = spectrogram_sheet(samples, mel, model=model, seconds=snakemake.params.seconds)
    save(sheet, out.spectrograms, out.spectrograms_png)

"""Put all clips on one page, each with a player and, to look closer, its sound and states over time."""

from innerear.acoustics.frame_files import read_frames
from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.pages.clips import clips_page
from innerear.pages.heading import Heading
from innerear.pages.strips import state_norms
from innerear.stacks import open_layers

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    frames = read_frames(read_table(snakemake.input.frames), samples["sample_id"].tolist())
    with open_layers(snakemake.input.grams, samples) as grams:
        norms = state_norms(grams)
    text = clips_page(
        samples,
        Heading(**snakemake.params.heading),
        clips=read_table(snakemake.input.clips),
        mel=frames["mel"].values,
        chroma=frames["value"].sel(feature=frames["feature"].str.startswith("chroma_")).values,
        norms=norms,
    )
    with atomic(snakemake.output[0]) as page:
        page.write_text(text, encoding="utf-8")

"""Put the maps of layers and steps on a page, with the music of each moment."""

from innerear.acoustics.frame_files import read_frames
from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.pages.heading import Heading
from innerear.pages.map_page import map_page
from innerear.stacks import open_layers
from innerear.stacks.index import read_codes

with log_to(snakemake.log[0]), atomic(snakemake.output[0]) as page:
    samples = read_table(snakemake.input.samples)
    tables = {
        name: read_table(snakemake.input[name])
        for name in ("discriminability", "similarity", "decomposition")
    }
    frames = read_frames(read_table(snakemake.input.frames), samples["sample_id"].tolist())
    with open_layers(snakemake.input.grams, samples) as grams:
        text = map_page(
            samples,
            Heading(**snakemake.params.heading),
            tables=tables,
            grams=grams,
            mel=frames["mel"].values,
            codes=read_codes(samples),
        )
    page.write_text(text, encoding="utf-8")

"""Put the maps of layers and steps on a page, with the music of each moment."""

from innerear.acoustics.frame_files import read_frames
from innerear.features.activations import read_branch
from innerear.io.files import atomic
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.pages.heading import Heading
from innerear.pages.map_page import firing, map_page
from innerear.stacks import open_layers
from innerear.stacks.index import read_codes

with log_to(snakemake.log[0]), atomic(snakemake.output[0]) as page:
    samples = read_table(snakemake.input.samples)
    tables = {
        name: read_table(snakemake.input[name])
        for name in ("discriminability", "similarity", "decomposition")
    }
    frames = read_frames(read_table(snakemake.input.frames), samples["sample_id"].tolist())
    features = []
    if layers := snakemake.params.features:
        paths = zip(layers, snakemake.input.activations, strict=True)
        sparse = {layer: read_branch(path, "uncond", samples) for layer, path in paths}
        features = firing(read_table(snakemake.input.features), sparse)
    with open_layers(snakemake.input.grams, samples) as grams:
        text = map_page(
            samples,
            Heading(**snakemake.params.heading),
            tables=tables,
            grams=grams,
            mel=frames["mel"].values,
            codes=read_codes(samples)[0],
            features=features,
        )
    page.write_text(text, encoding="utf-8")

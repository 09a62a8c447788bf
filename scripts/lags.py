"""Correlate states with the sound, frame by frame, at lags before and after; layer after layer."""

from tqdm import tqdm

from innerear.acoustics.followed import followed
from innerear.acoustics.frame_files import read_frames
from innerear.analyses import lags
from innerear.analyses.layer import complete
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.statistics.design.file import read_design
from innerear.statistics.table import LayerResult, write_layers
from innerear.study.names import layers_of

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    frames = read_frames(read_table(snakemake.input.frames), samples["sample_id"].tolist())["value"]
    sound = followed({name: frames.sel(feature=name).values for name in frames["feature"].values})
    design = read_design(samples, snakemake.input.design)

    def of_layer(layer: int) -> LayerResult:
        found = lags.of_stacks(
            samples["stack"].tolist(),
            sound,
            design,
            layer=layer,
            site=snakemake.params.site,
            contents=samples["content_sha256"].tolist(),
        )
        return complete(lags, found, design, model=snakemake.params.model, layer=layer)

    layers = tqdm(layers_of(snakemake.wildcards.layers), desc="lags", unit="layer")
    write_layers(((of_layer(layer), {}) for layer in layers), dict(snakemake.output.items()))

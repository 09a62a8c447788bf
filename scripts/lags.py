"""Correlate one layer's states with the sound, frame by frame, at lags before and after."""

from innerear.acoustics.frame_files import read_frames
from innerear.analyses.lags import followed, of_stacks
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.statistics.design_file import read_design

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    frames = read_frames(read_table(snakemake.input.frames)["path"], samples["sample_id"].tolist())["value"]
    result = of_stacks(
        samples["stack"].tolist(),
        followed({name: frames.sel(feature=name).values for name in frames["feature"].values}),
        read_design(samples, snakemake.input.design),
        model=snakemake.params.model,
        layer=int(snakemake.wildcards.layer),
        site=snakemake.params.site,
        n_permutations=snakemake.params.statistics["permutations"],
        n_bootstraps=snakemake.params.statistics["bootstraps"],
    )
    result.write(dict(snakemake.output.items()))

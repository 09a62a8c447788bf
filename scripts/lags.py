"""Follow the sound in one layer's states, frame by frame, before and after."""

from innerear.acoustics.frame_files import read_frames
from innerear.analyses.lags import followed, stacks_lags
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.statistics.design_file import read_design

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    frames = read_frames(read_table(snakemake.input.frames)["path"], samples["sample_id"].tolist())["value"]
    result = stacks_lags(
        samples["stack"].tolist(),
        followed({name: frames.sel(feature=name).values for name in frames["feature"].values}),
        read_design(samples, snakemake.input.design),
        model=snakemake.params.model,
        layer=int(snakemake.wildcards.layer),
        n_permutations=snakemake.params.statistics["permutations"],
        n_bootstraps=snakemake.params.statistics["bootstraps"],
    )
    write_table(result.table, snakemake.output.table)
    write_table(result.null, snakemake.output.null)

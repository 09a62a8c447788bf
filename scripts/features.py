"""Test the sparse features of one layer, beside the sound of clips and of each step."""

from innerear.acoustics.frame_files import read_frames
from innerear.analyses import features
from innerear.analyses.feature_time import Steps
from innerear.analyses.lags import FOLLOWED, followed
from innerear.analyses.layer import analyse
from innerear.features.activations import read_branch
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks import Stack
from innerear.stacks.inputs import open_inputs
from innerear.statistics.design_file import read_design

with log_to(snakemake.log[0]):
    samples, layer = read_table(snakemake.input.samples), int(snakemake.wildcards.layer)
    design = read_design(samples, snakemake.input.design)
    frames = read_frames(read_table(snakemake.input.frames), samples["sample_id"].tolist())["value"]
    single = {name: columns for name, columns in FOLLOWED.items() if len(columns) == 1}
    sound = followed({name: frames.sel(feature=name).values for name in single}, single)
    with Stack(samples["stack"].iloc[0]) as stack:
        whole = stack.frames[stack.complete][:, -1]
    steps = Steps(*read_branch(snakemake.input.steps, "uncond", samples), sound, whole)
    named = {name: snakemake.input[name] for name in ("gram", "clips", "acoustics")}
    with open_inputs(named, samples) as inputs:
        model = snakemake.params.model
        result = analyse(features, design=design, model=model, layer=layer, steps=steps, **inputs)
        result.write(dict(snakemake.output.items()), inputs["gram"].attrs)

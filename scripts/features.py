"""Test the sparse features of each layer, beside the sound of clips and of each step."""

from tqdm import tqdm

from innerear.acoustics.frame_files import read_frames
from innerear.analyses import features
from innerear.analyses.features.time import FeatureSteps, sound_of_steps
from innerear.analyses.layer import analyse
from innerear.features.activations import read_branch
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks.index import first_stack
from innerear.stacks.inputs import open_inputs
from innerear.statistics.design.file import read_design
from innerear.statistics.table import write_layers
from innerear.study.names import layers_of

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    design = read_design(samples, snakemake.input.design)
    frames = read_frames(read_table(snakemake.input.frames), samples["sample_id"].tolist())["value"]
    with first_stack(samples) as stack:
        beside = sound_of_steps(frames, stack.timeline)
    layers = layers_of(snakemake.wildcards.layers)
    jobs = list(zip(layers, snakemake.input.grams, snakemake.input.clips, snakemake.input.steps, strict=True))

    def of_layers():
        for layer, gram, clips, steps in tqdm(jobs, desc="features", unit="layer"):
            named = {"gram": gram, "clips": clips, "acoustics": snakemake.input.acoustics}
            of_steps = FeatureSteps(*read_branch(steps, "uncond", samples), *beside)
            with open_inputs(named, samples) as inputs:
                how = {"model": snakemake.params.model, "layer": layer, "steps": of_steps}
                yield analyse(features, design=design, **how, **inputs), inputs["gram"].attrs

    write_layers(of_layers(), dict(snakemake.output.items()))

"""Encode one layer of all clips with its dictionaries, step by step and as means of each clip."""

from innerear.features.layer_job import Clips, encode_clips, load_layer
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks import GramFile, stacks_hash

with log_to(snakemake.log[0]):
    layer, samples = int(snakemake.wildcards.layer), read_table(snakemake.input.samples)
    clips = Clips.of(samples, snakemake.params, snakemake.input.get("twin", ""))
    dictionaries = load_layer(snakemake.params.folder, layer)
    attrs = {"layer": layer, "stacks_sha256": stacks_hash(samples)}
    ids = samples["sample_id"].tolist()
    arrays, coords = encode_clips(clips, layer, dictionaries, ids, snakemake.output.steps, attrs)
    GramFile.write(snakemake.output.clips, arrays, coords, attrs)

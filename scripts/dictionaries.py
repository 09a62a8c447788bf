"""Train the dictionaries of one layer, or take finished ones, measure them, and encode all clips."""

from pathlib import Path

from innerear.features.clips import Clips, States
from innerear.features.layer_job import dictionaries_of, encode_clips, measure_layer, save_layer
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.stacks import GramFile, stacks_hash

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.device)
    layer, settings = int(snakemake.wildcards.layer), snakemake.params.settings
    samples = read_table(snakemake.input.samples)
    clips = Clips.of(samples, snakemake.params, snakemake.input.get("twin", ""))
    states = States(clips, layer, memory_gb=snakemake.params.memory_gb)
    dictionaries = dictionaries_of(clips, states, settings, snakemake.params)
    folder = Path(snakemake.output[0]).parents[1]  # of branch and layer
    save_layer(dictionaries, folder, clips, layer, steps=settings["steps"])
    write_table(measure_layer(states, dictionaries, settings), snakemake.output.measures)
    attrs = {"layer": layer, "stacks_sha256": stacks_hash(samples)}
    ids = samples["sample_id"].tolist()
    arrays, coords = encode_clips(clips, layer, dictionaries, ids, snakemake.output.steps, attrs)
    GramFile.write(snakemake.output.clips, arrays, coords, attrs)

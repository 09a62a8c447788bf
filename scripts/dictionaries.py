"""Train the dictionaries of one layer, or take finished ones, and measure them."""

from innerear.features.layer_job import Clips, dictionaries_of, measure_layer, save_layer
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.device)
    layer, settings = int(snakemake.wildcards.layer), snakemake.params.settings
    clips = Clips.of(read_table(snakemake.input.samples), snakemake.params, snakemake.input.get("twin", ""))
    dictionaries = dictionaries_of(clips, layer, settings, snakemake.params)
    save_layer(dictionaries, snakemake.params.folder, clips, layer, steps=settings["steps"])
    write_table(measure_layer(clips, layer, dictionaries, settings), snakemake.output.measures)

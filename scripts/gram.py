"""Read each layer of every stack once and write its Gram matrices."""

from tqdm import tqdm

from innerear.gram.layer_pass import stacks_gram
from innerear.gram.prompt_sums import Prompts
from innerear.io.log import log_to
from innerear.io.tables import read_table
from innerear.stacks import GramFile, stacks_hash
from innerear.study.names import layers_of

with log_to(snakemake.log[0]):
    samples = read_table(snakemake.input.samples)
    made_of = {"stacks_sha256": stacks_hash(samples)}

    def write(layer: int, path: str) -> None:
        arrays, coords, attrs = stacks_gram(
            samples["stack"],
            samples["sample_id"],
            layer,
            site=snakemake.params.site,
            contents=samples["content_sha256"],
            n_bins=snakemake.params.bins,
            steps_per_matrix=snakemake.params.steps_per_matrix,
            prompts=Prompts.of(samples),
            pairs=snakemake.params.pairs,
        )
        GramFile.write(path, arrays, coords, attrs | made_of)

    layers = layers_of(snakemake.params.layers)
    for layer, path in zip(layers, tqdm(snakemake.output, desc="gram", unit="layer"), strict=True):
        write(layer, path)

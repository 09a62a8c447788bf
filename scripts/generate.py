"""Generate the clip of one (prompt, seed) pair and record the hidden state of every step."""

from innerear.architectures import Architecture, check_architecture
from innerear.conditions import Prompt, Sample
from innerear.generation import generate_samples
from innerear.models import load_model
from innerear.tracking import log_to

with log_to(snakemake.log[0]):
    model = load_model(**snakemake.params.model)
    check_architecture(model, Architecture(**snakemake.params.architecture))
    generate_samples(
        model,
        [Sample(Prompt(**snakemake.params.prompt), int(snakemake.wildcards.seed))],
        [snakemake.output.stack],
        [snakemake.output.audio],
        study=snakemake.params.study,
        capture=snakemake.params.capture,
        generation=snakemake.params.generation,
    )

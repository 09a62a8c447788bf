"""Generate the clips of one (prompt, seed) pair, or of all seeds of a prompt, and record every step."""

from innerear.capture.generation import generate_samples
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.models import load_model
from innerear.study.architectures import Architecture, check_architecture
from innerear.study.prompts import Prompt, Sample, batches

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    model = load_model(**snakemake.params.model)
    check_architecture(model, Architecture(**snakemake.params.architecture))
    prompt = Prompt(**snakemake.params.prompt)
    jobs = zip(snakemake.params.seeds, snakemake.output.stacks, snakemake.output.audio, strict=True)
    for batch in batches(jobs, snakemake.params.batch_size):
        seeds, stacks, audio = zip(*batch, strict=True)
        generate_samples(
            model,
            [Sample(prompt, seed) for seed in seeds],
            stacks,
            audio,
            study=snakemake.params.study,
            capture=snakemake.params.capture,
            generation=snakemake.params.generation,
        )

"""Generate the clips of a job that are not there yet, and record every step."""

from pathlib import Path

from innerear.capture.jobs import generate_missing
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.models import load_model
from innerear.study.architectures import Architecture, check_architecture
from innerear.study.prompts import Prompt, Sample

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    model = load_model(**snakemake.params.model)
    check_architecture(model, Architecture(**snakemake.params.architecture))
    prompts = {prompt["id"]: Prompt(**prompt) for prompt in snakemake.params.prompts}
    paths = [Path(stack) for stack in snakemake.output.stacks]
    generate_missing(
        model,
        [Sample(prompts[path.parent.name], int(path.stem.removeprefix("seed-"))) for path in paths],
        paths,
        snakemake.output.audio,
        unfinished=Path(snakemake.params.unfinished),
        study=snakemake.params.study,
        capture=snakemake.params.capture,
        generation=snakemake.params.generation,
        code=snakemake.params.code,
        **snakemake.params.job,
    )

"""Read clips while cond's states are those of another text's run, or of another clip's."""

from innerear.interventions.patching import patch
from innerear.io.devices import lease_gpu
from innerear.io.log import log_to
from innerear.io.tables import read_table, write_table
from innerear.models import load_model
from innerear.study.interventions import Interventions

with log_to(snakemake.log[0]):
    lease_gpu(snakemake.params.model["device"])
    table = patch(
        load_model(**snakemake.params.model),
        read_table(snakemake.input.samples),
        Interventions.of_job(snakemake.params.plan, snakemake.params.run),
        site=snakemake.params.site,
        guidance=snakemake.params.generation["guidance"],
    )
    write_table(table, snakemake.output[0])

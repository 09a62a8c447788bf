"""Draw how far the audio differs between emotions, under the verdict."""

from innerear.figures.audio_check import forest
from innerear.figures.style import save
from innerear.io.log import log_to
from innerear.io.tables import read_table

with log_to(snakemake.log[0]):
    effects, validity, verdict = (
        read_table(snakemake.input[name]) for name in ("effects", "validity", "verdict")
    )
    save(forest(effects, validity, verdict, model=snakemake.params.model), *snakemake.output)

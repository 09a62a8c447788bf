from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/qc.smk"
include: "workflow/rules/replay.smk"
include: "workflow/rules/counterfactual.smk"
include: "workflow/rules/acoustics.smk"
include: "workflow/rules/design.smk"
include: "workflow/rules/manipulation.smk"
include: "workflow/rules/gram.smk"
include: "workflow/rules/similarity.smk"
include: "workflow/rules/discriminability.smk"
include: "workflow/rules/emergence.smk"
include: "workflow/rules/generalisation.smk"
include: "workflow/rules/components.smk"
include: "workflow/rules/embedding.smk"
include: "workflow/rules/correlation.smk"
include: "workflow/rules/nested.smk"
include: "workflow/rules/lags.smk"
include: "workflow/rules/alignment.smk"
include: "workflow/rules/dimensions.smk"
include: "workflow/rules/affect.smk"
include: "workflow/rules/decomposition.smk"
include: "workflow/rules/listen.smk"
include: "workflow/rules/replication.smk"
include: "workflow/rules/checklist.smk"
include: "workflow/rules/findings.smk"


# Seconds of work: on a cluster they run beside Snakemake, not in the queue.
localrules:
    gate,
    clip_features,
    cells,


rule all:
    """Everything that the study answers, stage by stage."""
    default_target: True
    input:
        # Not every stack and clip: each file that is listed takes time to plan, and the index lists them.
        rules.index.output,
        rules.all_qc.input,
        rules.all_replay.input,
        rules.all_counterfactual.input,
        rules.all_acoustics.input,
        rules.all_manipulation.input,
        rules.all_gram.input,
        rules.all_design.input,
        rules.all_similarity.input,
        rules.all_discriminability.input,
        rules.all_emergence.input,
        rules.all_generalisation.input,
        rules.all_components.input,
        rules.all_embedding.input,
        rules.all_correlation.input,
        rules.all_nested.input,
        rules.all_lags.input,
        rules.all_alignment.input,
        rules.all_dimensions.input,
        rules.all_affect.input,
        rules.all_decomposition.input,
        rules.all_listen.input,
        rules.all_replication.input,
        rules.all_checklist.input,
        rules.all_findings.input,

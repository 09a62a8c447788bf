from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/qc.smk"
include: "workflow/rules/acoustics.smk"
include: "workflow/rules/gram.smk"
include: "workflow/rules/similarity.smk"
include: "workflow/rules/components.smk"
include: "workflow/rules/correlation.smk"
include: "workflow/rules/alignment.smk"
include: "workflow/rules/dimensions.smk"
include: "workflow/rules/affect.smk"
include: "workflow/rules/listen.smk"
include: "workflow/rules/findings.smk"


rule all:
    """Everything that the study answers, stage by stage."""
    default_target: True
    input:
        rules.all_samples.input,
        rules.all_qc.input,
        rules.all_acoustics.input,
        rules.all_gram.input,
        rules.all_similarity.input,
        rules.all_components.input,
        rules.all_correlation.input,
        rules.all_alignment.input,
        rules.all_dimensions.input,
        rules.all_affect.input,
        rules.all_listen.input,
        rules.all_findings.input,

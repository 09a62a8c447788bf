from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/study.smk"
include: "workflow/rules/run.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/capture.smk"
include: "workflow/rules/label.smk"
include: "workflow/rules/sound.smk"
include: "workflow/rules/geometry.smk"
include: "workflow/rules/text_or_history.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/steering.smk"
include: "workflow/rules/answers.smk"
include: "workflow/rules/listening.smk"


# Logs, benchmarks, environments, and the code that reruns depend on.
complete_rules()
refuse_files_for_folders()


# Seconds of work: on a cluster they run beside Snakemake, not in the queue.
localrules:
    gate,
    clip_features,
    cells,


rule all:
    """Everything that the study answers, group by group."""
    default_target: True
    input:
        rules.all_capture.input,
        rules.all_label.input,
        rules.all_sound.input,
        rules.all_geometry.input,
        rules.all_text_or_history.input,
        rules.all_features.input,
        rules.all_steering.input,
        rules.all_answers.input,

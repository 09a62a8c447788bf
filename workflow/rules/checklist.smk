rule checklist:
    """Answer the checklist of the original notes: what the study shows, and what it does not."""
    input:
        samples=rules.gate.output.samples,
        checks=rules.qc.output[0],
        similarity=rules.similarity_map.output[0],
        manipulation=rules.manipulation.output.effects,
        best_layers=rules.discriminability_map.output.best,
    output:
        report(
            "<results>/checklist.tsv",
            caption="../report/checklist.rst",
            category="Checklist",
            labels={"table": "what the study shows"},
        ),
    log:
        "<logs>/checklist.log",
    benchmark:
        "<benchmarks>/checklist.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.pages.checklist"),
    script:
        "../../scripts/checklist.py"


rule all_checklist:
    """The checklist, answered."""
    input:
        rules.checklist.output,

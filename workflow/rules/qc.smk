rule qc:
    """Check every capture against what must hold of it, and write down each measured value."""
    input:
        samples=rules.index.output[0],
    output:
        report(
            "<results>/qc/checks.tsv",
            caption="../report/qc.rst",
            category="Capture",
            labels={"table": "quality checks"},
        ),
    log:
        "<logs>/qc.log",
    benchmark:
        "<benchmarks>/qc.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=60,
    params:
        code=fingerprint("innerear.qc"),
    script:
        "../../scripts/qc.py"


rule gate:
    """Stop the fan-in, naming the samples, if any check failed; the table of the checks stays."""
    input:
        checks=rules.qc.output[0],
    output:
        touch("<results>/qc/passed"),
    log:
        "<logs>/gate.log",
    benchmark:
        "<benchmarks>/gate.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(500),
        runtime=10,
    params:
        code=fingerprint("innerear.qc"),
    script:
        "../../scripts/gate.py"


rule all_qc:
    """The checks, passed."""
    input:
        rules.qc.output,
        rules.gate.output,

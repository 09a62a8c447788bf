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
        code=fingerprint("innerear.capture.checks"),
    script:
        "../../scripts/qc.py"


rule verify:
    """Prove the captures: replay one sample of each prompt, and compose one sample again."""
    input:
        samples=rules.index.output[0],
        weights=WEIGHTS,
    output:
        report(
            "<results>/qc/verification.tsv",
            caption="../report/qc.rst",
            category="Capture",
            labels={"table": "replay and regeneration"},
        ),
    log:
        "<logs>/verify.log",
    benchmark:
        "<benchmarks>/verify.tsv"
    conda:
        "../../envs/generate.yaml"
    resources:
        gpu=1,
        mem_mb=generation_mb,
        runtime=120,
    params:
        code=fingerprint("innerear.capture.verification"),
        model=LOADING,
        generation=SAMPLING,
    script:
        "../../scripts/verify.py"


rule gate:
    """Hand on the samples to the fan-in if all checks passed; else stop, naming those that failed."""
    input:
        samples=rules.index.output[0],
        checks=[rules.qc.output[0], rules.verify.output[0]],
    output:
        samples="<results>/qc/samples.tsv",
        summary=report(
            "<results>/qc/summary.tsv",
            caption="../report/qc.rst",
            category="Capture",
            labels={"table": "what was checked, and the worst of each"},
        ),
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
        code=fingerprint("innerear.capture.checks"),
    script:
        "../../scripts/gate.py"


rule all_qc:
    """The checks, passed."""
    input:
        rules.qc.output,
        rules.verify.output,
        rules.gate.output,

rule replication:
    """Compare the study's two prompts as was once published, and then right: by branch, centred, against chance."""
    input:
        samples=rules.gate.output.samples,
    output:
        table=report(
            "<results>/replication/table.tsv",
            caption="../report/replication.rst",
            category="Replication",
            labels={"table": "published figures beside ours"},
        ),
        curves="<results>/replication/curves.tsv",
    log:
        "<logs>/replication.log",
    benchmark:
        "<benchmarks>/replication.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=30,
    params:
        code=fingerprint("innerear.analyses.replication"),
        model=MODEL,
        layers=STUDY.layers,
    script:
        "../../scripts/replication.py"


rule plot_replication:
    """Draw the cosine of the two prompts over the steps."""
    input:
        samples=rules.gate.output.samples,
        curves=rules.replication.output.curves,
    output:
        figure=report(
            "<results>/figures/replication.svg",
            caption="../report/replication.rst",
            category="Replication",
            labels={"figure": "cosine over the steps, as published and right"},
        ),
        figure_png="<results>/figures/replication.png",
    log:
        "<logs>/plot_replication.log",
    benchmark:
        "<benchmarks>/plot_replication.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1000),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.replication"),
        model=MODEL,
    script:
        "../../scripts/plot_replication.py"


rule all_replication:
    """The comparison that the project began with, in studies that ask for it."""
    input:
        branch(
            config["replication"],
            then=[rules.replication.output, rules.plot_replication.output],
        ),

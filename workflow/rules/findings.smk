rule findings:
    """Answer the study's questions on one page: what is established, and what is not."""
    input:
        manipulation="<results>/manipulation/effects.tsv",
        discriminability="<results>/discriminability/map.tsv",
        best_layers="<results>/discriminability/best_layers.tsv",
        emergence="<results>/emergence/map.tsv",
        lags="<results>/lags/map.tsv",
        similarity=rules.similarity_map.output[0],
        components=collect(
            "<results>/components/tables/layer_{layer}.tsv", layer=LAYERS
        ),
        dimensions=rules.dimensions_map.output[0],
        correlation=rules.correlation_map.output[0],
        decomposition=rules.decomposition_map.output[0],
        likelihood=rules.plot_decomposition.input.likelihood,
        alignment=rules.alignment.output[0],
        affect=rules.affect_map.output[0],
    output:
        page=report(
            "<results>/findings.html",
            caption="../report/findings.rst",
            category="Answers",
            labels={"page": "findings"},
        ),
        table=report(
            "<results>/findings.tsv",
            caption="../report/findings.rst",
            category="Answers",
            labels={"page": "findings, as a table"},
        ),
    log:
        "<logs>/findings.log",
    benchmark:
        "<benchmarks>/findings.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.pages.findings"),
        study=config["study"],
        model=MODEL,
        contrast=config["contrast"],
    script:
        "../../scripts/findings.py"


rule all_findings:
    """All answers on one page."""
    input:
        rules.findings.output,

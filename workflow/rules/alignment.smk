rule alignment:
    """Compare all layers with each other, and all time bins of each layer, by debiased CKA."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        grams=collect("<results>/gram/layer_{layer}.h5", layer=LAYERS),
    output:
        "<results>/alignment/table.tsv",
    log:
        "<logs>/alignment.log",
    benchmark:
        "<benchmarks>/alignment.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=120,
    params:
        code=fingerprint("innerear.analyses.alignment"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/alignment.py"


rule plot_alignment:
    """Draw which layers, and which moments, arrange the samples alike."""
    input:
        table=rules.alignment.output[0],
    output:
        layers=report(
            "<results>/figures/alignment_layers.svg",
            caption="../report/alignment_layers.rst",
            category="Geometry",
            labels={"figure": "layer × layer, debiased CKA"},
        ),
        layers_png="<results>/figures/alignment_layers.png",
        time=report(
            "<results>/figures/alignment_time.svg",
            caption="../report/alignment_time.rst",
            category="Geometry",
            labels={"figure": "time × time, debiased CKA"},
        ),
        time_png="<results>/figures/alignment_time.png",
    log:
        "<logs>/plot_alignment.log",
    benchmark:
        "<benchmarks>/plot_alignment.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.alignment"),
        model=MODEL,
    script:
        "../../scripts/plot_alignment.py"


rule all_alignment:
    """Which layers and moments arrange the samples alike."""
    input:
        rules.alignment.output,
        rules.plot_alignment.output,

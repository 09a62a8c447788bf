rule correlation:
    """Predict each acoustic feature of a clip from one layer, on templates held out."""
    input:
        samples=rules.index.output,
        gram="<results>/gram/layer_{layer}.h5",
        clips=rules.clip_features.output,
    output:
        "<results>/correlation/layer_{layer}.tsv",
    log:
        "<logs>/correlation/layer_{layer}.log",
    benchmark:
        "<benchmarks>/correlation/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=60,
    params:
        code=fingerprint("innerear.correlation"),
        statistics=config["statistics"],
    script:
        "../../scripts/correlation.py"


rule plot_correlation:
    """Draw how well each layer predicts each acoustic feature."""
    input:
        correlation=collect("<results>/correlation/layer_{layer}.tsv", layer=LAYERS),
    output:
        heatmap=report(
            "<results>/figures/acoustic_r2.svg",
            caption="../report/acoustic_r2.rst",
            category="Sound",
            labels={"figure": "layer × acoustic feature, held-out R²"},
        ),
    log:
        "<logs>/plot_correlation.log",
    benchmark:
        "<benchmarks>/plot_correlation.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1000),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.correlation"),
        model=config["model"]["name"],
    script:
        "../../scripts/plot_correlation.py"


rule all_correlation:
    """What each layer knows about the sound of its clip."""
    input:
        rules.plot_correlation.output,

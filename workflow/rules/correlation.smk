rule correlation:
    """Predict each acoustic feature of a clip from one layer, on templates held out."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        gram="<results>/gram/layer_{layer}.h5",
        clips=rules.clip_features.output.clips,
    output:
        table="<results>/correlation/tables/layer_{layer}.tsv",
        null="<results>/correlation/nulls/layer_{layer}.tsv",
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
        code=fingerprint("innerear.analyses.sound"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/correlation.py"


rule correlation_map:
    """Join the layers and correct every R² over layers, features, branches and windows."""
    input:
        tables=collect("<results>/correlation/tables/layer_{layer}.tsv", layer=LAYERS),
        nulls=collect("<results>/correlation/nulls/layer_{layer}.tsv", layer=LAYERS),
    output:
        report(
            "<results>/correlation/map.tsv",
            caption="../report/acoustic_r2.rst",
            category="Sound",
            labels={"table": "layer × acoustic feature, held-out R²"},
        ),
    log:
        "<logs>/correlation_map.log",
    benchmark:
        "<benchmarks>/correlation_map.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.sound"),
    script:
        "../../scripts/correlation_map.py"


rule plot_correlation:
    """Draw how well each layer predicts each acoustic feature, and how much goes beyond the label."""
    input:
        map=rules.correlation_map.output[0],
    output:
        heatmap=report(
            "<results>/figures/acoustic_r2.svg",
            caption="../report/acoustic_r2.rst",
            category="Sound",
            labels={"figure": "layer × acoustic feature, held-out R²"},
        ),
        heatmap_png="<results>/figures/acoustic_r2.png",
        beyond=report(
            "<results>/figures/acoustic_r2_beyond.svg",
            caption="../report/acoustic_r2_beyond.rst",
            category="Sound",
            labels={"figure": "layer × acoustic feature, beyond the label"},
        ),
        beyond_png="<results>/figures/acoustic_r2_beyond.png",
    log:
        "<logs>/plot_correlation.log",
    benchmark:
        "<benchmarks>/plot_correlation.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.sound"),
        model=MODEL,
    script:
        "../../scripts/plot_correlation.py"


rule all_correlation:
    """What each layer knows about the sound of its clip."""
    input:
        rules.correlation_map.output,
        rules.plot_correlation.output,

rule lags:
    """Follow the sound in one layer's states, frame by frame, before and after."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        frames=rules.clip_features.output.frames,
    output:
        table="<results>/lags/tables/layer_{layer}.tsv",
        null="<results>/lags/nulls/layer_{layer}.tsv",
    log:
        "<logs>/lags/layer_{layer}.log",
    benchmark:
        "<benchmarks>/lags/layer_{layer}.tsv"
    conda:
        "../../envs/acoustics.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=60,
    params:
        code=fingerprint("innerear.analyses.lags"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/lags.py"


rule lags_map:
    """Join the layers and correct every lag over layers, branches, features and lags."""
    input:
        tables=collect("<results>/lags/tables/layer_{layer}.tsv", layer=LAYERS),
        nulls=collect("<results>/lags/nulls/layer_{layer}.tsv", layer=LAYERS),
    output:
        report(
            "<results>/lags/map.tsv",
            caption="../report/lags.rst",
            category="Sound",
            labels={"table": "layer × lag × feature"},
        ),
    log:
        "<logs>/lags_map.log",
    benchmark:
        "<benchmarks>/lags_map.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.lags"),
    script:
        "../../scripts/lags_map.py"


rule plot_lags:
    """Draw how the states go with the sound before and after."""
    input:
        map=rules.lags_map.output[0],
    output:
        figure=report(
            "<results>/figures/lags.svg",
            caption="../report/lags.rst",
            category="Sound",
            labels={"figure": "states and sound, lag by lag"},
        ),
        figure_png="<results>/figures/lags.png",
    log:
        "<logs>/plot_lags.log",
    benchmark:
        "<benchmarks>/plot_lags.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.lags"),
        model=MODEL,
    script:
        "../../scripts/plot_lags.py"


rule all_lags:
    """Which frames of the sound go with the states of a moment."""
    input:
        rules.lags_map.output,
        rules.plot_lags.output,

rule affect:
    """Test valence and arousal in one layer: graded ratings, and directions that carry over."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        gram="<results>/gram/layer_{layer}.h5",
    output:
        table="<results>/affect/tables/layer_{layer}.tsv",
        null="<results>/affect/nulls/layer_{layer}.tsv",
    log:
        "<logs>/affect/layer_{layer}.log",
    benchmark:
        "<benchmarks>/affect/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=60,
    params:
        code=fingerprint("innerear.analyses.affect"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/affect.py"


rule affect_map:
    """Join the layers and correct every test over layers, branches and targets."""
    input:
        tables=collect("<results>/affect/tables/layer_{layer}.tsv", layer=LAYERS),
        nulls=collect("<results>/affect/nulls/layer_{layer}.tsv", layer=LAYERS),
    output:
        report(
            "<results>/affect/map.tsv",
            caption="../report/affect.rst",
            category="Geometry",
            labels={"table": "single affect, by layer"},
        ),
    log:
        "<logs>/affect_map.log",
    benchmark:
        "<benchmarks>/affect_map.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.affect"),
    script:
        "../../scripts/affect_map.py"


rule plot_affect:
    """Draw what each layer knows of valence and arousal, or why that cannot be asked."""
    input:
        map=rules.affect_map.output[0],
    output:
        figure=report(
            "<results>/figures/affect.svg",
            caption="../report/affect.rst",
            category="Geometry",
            labels={"figure": "single affect, by layer"},
        ),
        figure_png="<results>/figures/affect.png",
    log:
        "<logs>/plot_affect.log",
    benchmark:
        "<benchmarks>/plot_affect.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.affect"),
        model=MODEL,
    script:
        "../../scripts/plot_affect.py"


rule all_affect:
    """Valence and arousal in every layer."""
    input:
        rules.affect_map.output,
        rules.plot_affect.output,

rule nested:
    """Predict one layer's states from label, sound, and both, on templates held out."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        gram="<results>/gram/layer_{layer}.h5",
        clips=rules.clip_features.output.clips,
    output:
        table="<results>/nested/tables/layer_{layer}.tsv",
        dimensions="<results>/nested/dimensions/layer_{layer}.tsv",
        null="<results>/nested/nulls/layer_{layer}.tsv",
    log:
        "<logs>/nested/layer_{layer}.log",
    benchmark:
        "<benchmarks>/nested/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=60,
    params:
        code=fingerprint("innerear.analyses.sound_and_label"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/nested.py"


rule nested_map:
    """Join the layers' nested models and correct them over layers, branches and windows."""
    input:
        tables=collect("<results>/nested/tables/layer_{layer}.tsv", layer=LAYERS),
        nulls=collect("<results>/nested/nulls/layer_{layer}.tsv", layer=LAYERS),
    output:
        report(
            "<results>/nested/map.tsv",
            caption="../report/nested.rst",
            category="Sound",
            labels={"table": "states from label and sound"},
        ),
    log:
        "<logs>/nested_map.log",
    benchmark:
        "<benchmarks>/nested_map.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.sound_and_label"),
    script:
        "../../scripts/nested_map.py"


rule plot_nested:
    """Draw how much of the states label and sound explain, layer by layer."""
    input:
        map=rules.nested_map.output[0],
        dimensions=collect(
            "<results>/nested/dimensions/layer_{layer}.tsv", layer=LAYERS
        ),
    output:
        figure=report(
            "<results>/figures/nested.svg",
            caption="../report/nested.rst",
            category="Sound",
            labels={"figure": "states from label and sound"},
        ),
        figure_png="<results>/figures/nested.png",
    log:
        "<logs>/plot_nested.log",
    benchmark:
        "<benchmarks>/plot_nested.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.sound_and_label"),
        model=MODEL,
    script:
        "../../scripts/plot_nested.py"


rule all_nested:
    """What the sound explains of the states, beyond the label."""
    input:
        rules.nested_map.output,
        rules.plot_nested.output,

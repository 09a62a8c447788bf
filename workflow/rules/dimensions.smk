rule dimensions:
    """Test every dimension of one layer, averaged over the clip, for a difference between emotions."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        gram="<results>/gram/layer_{layer}.h5",
    output:
        table="<results>/dimensions/tables/layer_{layer}.tsv",
        null="<results>/dimensions/nulls/layer_{layer}.tsv",
    log:
        "<logs>/dimensions/layer_{layer}.log",
    benchmark:
        "<benchmarks>/dimensions/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=60,
    params:
        code=fingerprint("innerear.analyses.dimensions"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/dimensions.py"


rule dimensions_map:
    """Join the layers and correct every dimension and every share over layers, branches and dimensions."""
    input:
        tables=collect("<results>/dimensions/tables/layer_{layer}.tsv", layer=LAYERS),
        nulls=collect("<results>/dimensions/nulls/layer_{layer}.tsv", layer=LAYERS),
    output:
        report(
            "<results>/dimensions/map.tsv",
            caption="../report/dimensions.rst",
            category="Geometry",
            labels={"table": "single dimensions, by layer"},
        ),
    log:
        "<logs>/dimensions_map.log",
    benchmark:
        "<benchmarks>/dimensions_map.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.dimensions"),
    script:
        "../../scripts/dimensions_map.py"


rule plot_dimensions:
    """Draw how many dimensions of each layer differ, which, and what a random basis gives."""
    input:
        map=rules.dimensions_map.output[0],
    output:
        figure=report(
            "<results>/figures/dimensions.svg",
            caption="../report/dimensions.rst",
            category="Geometry",
            labels={"figure": "single dimensions, by layer"},
        ),
        figure_png="<results>/figures/dimensions.png",
    log:
        "<logs>/plot_dimensions.log",
    benchmark:
        "<benchmarks>/plot_dimensions.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.dimensions"),
        model=MODEL,
    script:
        "../../scripts/plot_dimensions.py"


rule all_dimensions:
    """The single dimensions of every layer."""
    input:
        rules.dimensions_map.output,
        rules.plot_dimensions.output,

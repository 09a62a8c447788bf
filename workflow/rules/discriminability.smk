rule discriminability:
    """Measure how far one layer tells labels apart: distance, explained variance, held-out probes."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        gram="<results>/gram/layer_{layer}.h5",
    output:
        table="<results>/discriminability/tables/layer_{layer}.tsv",
        null="<results>/discriminability/nulls/layer_{layer}.tsv",
        folds="<results>/discriminability/folds/layer_{layer}.h5",
    log:
        "<logs>/discriminability/layer_{layer}.log",
    benchmark:
        "<benchmarks>/discriminability/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=60,
    params:
        code=fingerprint("innerear.analyses.discriminability"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/discriminability.py"


rule discriminability_map:
    """Join the layers, correct over the whole map, and confirm the best layer on held-out templates."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        tables=collect(
            "<results>/discriminability/tables/layer_{layer}.tsv", layer=LAYERS
        ),
        nulls=collect(
            "<results>/discriminability/nulls/layer_{layer}.tsv", layer=LAYERS
        ),
        folds=collect("<results>/discriminability/folds/layer_{layer}.h5", layer=LAYERS),
    output:
        map=report(
            "<results>/discriminability/map.tsv",
            caption="../report/discriminability_maps.rst",
            category="Discriminability",
            labels={"table": "layer × step × branch"},
        ),
        best=report(
            "<results>/discriminability/best_layers.tsv",
            caption="../report/layer_ranks.rst",
            category="Discriminability",
            labels={"table": "ranks of the layers, and the best one confirmed"},
        ),
    log:
        "<logs>/discriminability_map.log",
    benchmark:
        "<benchmarks>/discriminability_map.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.discriminability"),
        model=MODEL,
    script:
        "../../scripts/discriminability_map.py"


rule plot_discriminability:
    """Draw the maps, the curves over the steps, and the ranks of the layers."""
    input:
        map=rules.discriminability_map.output.map,
        best=rules.discriminability_map.output.best,
    output:
        maps=report(
            "<results>/figures/discriminability_maps.svg",
            caption="../report/discriminability_maps.rst",
            category="Discriminability",
            labels={"figure": "maps, layer × step"},
        ),
        maps_png="<results>/figures/discriminability_maps.png",
        curves=report(
            "<results>/figures/discriminability_curves.svg",
            caption="../report/discriminability_curves.rst",
            category="Discriminability",
            labels={"figure": "curves over the steps"},
        ),
        curves_png="<results>/figures/discriminability_curves.png",
        ranks=report(
            "<results>/figures/layer_ranks.svg",
            caption="../report/layer_ranks.rst",
            category="Discriminability",
            labels={"figure": "layers compared, whole clip"},
        ),
        ranks_png="<results>/figures/layer_ranks.png",
    log:
        "<logs>/plot_discriminability.log",
    benchmark:
        "<benchmarks>/plot_discriminability.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.discriminability"),
        model=MODEL,
        contrast=config["contrast"],
    script:
        "../../scripts/plot_discriminability.py"


rule all_discriminability:
    """Where and when the layers tell labels apart."""
    input:
        rules.discriminability_map.output,
        rules.plot_discriminability.output,

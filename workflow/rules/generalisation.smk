rule generalisation:
    """Judge probes of one time bin (or branch) of a layer in every other."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        gram="<results>/gram/layer_{layer}.h5",
    output:
        table="<results>/generalisation/tables/layer_{layer}.tsv",
        null="<results>/generalisation/nulls/layer_{layer}.tsv",
    log:
        "<logs>/generalisation/layer_{layer}.log",
    benchmark:
        "<benchmarks>/generalisation/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=60,
    params:
        code=fingerprint("innerear.analyses.generalisation"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/generalisation.py"


rule generalisation_map:
    """Join the layers and correct over layers and pairs of windows."""
    input:
        tables=collect(
            "<results>/generalisation/tables/layer_{layer}.tsv", layer=LAYERS
        ),
        nulls=collect("<results>/generalisation/nulls/layer_{layer}.tsv", layer=LAYERS),
    output:
        report(
            "<results>/generalisation/map.tsv",
            caption="../report/generalisation.rst",
            category="Emergence",
            labels={"table": "train window × test window"},
        ),
    log:
        "<logs>/generalisation_map.log",
    benchmark:
        "<benchmarks>/generalisation_map.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.generalisation"),
    script:
        "../../scripts/generalisation_map.py"


rule plot_generalisation:
    """Draw how probes of one time read another, and of one branch the other."""
    input:
        map=rules.generalisation_map.output[0],
    output:
        squares=report(
            "<results>/figures/generalisation.svg",
            caption="../report/generalisation.rst",
            category="Emergence",
            labels={"figure": "temporal generalisation"},
        ),
        squares_png="<results>/figures/generalisation.png",
        transfer=report(
            "<results>/figures/transfer.svg",
            caption="../report/transfer.rst",
            category="Emergence",
            labels={"figure": "transfer between branches"},
        ),
        transfer_png="<results>/figures/transfer.png",
    log:
        "<logs>/plot_generalisation.log",
    benchmark:
        "<benchmarks>/plot_generalisation.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.generalisation"),
        model=MODEL,
        contrast=config["contrast"],
    script:
        "../../scripts/plot_generalisation.py"


rule all_generalisation:
    """Whether a code stays the same over time and between branches."""
    input:
        rules.generalisation_map.output,
        rules.plot_generalisation.output,

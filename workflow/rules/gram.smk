rule gram:
    """Read one layer of every stack once and keep its Gram matrices: per step, window and time bin."""
    input:
        samples=rules.gate.output.samples,
    output:
        "<results>/gram/layer_{layer}.h5",
    log:
        "<logs>/gram/layer_{layer}.log",
    benchmark:
        "<benchmarks>/gram/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=120,
    params:
        code=fingerprint("innerear.gram.layer_pass"),
        bins=config["gram"]["bins"],
        steps_per_matrix=config["gram"]["steps_per_matrix"],
        site=config["capture"]["sites"][0],
    script:
        "../../scripts/gram.py"


rule plot_gram:
    """Draw what a raw cosine would have seen: common mean, massive dimensions, deterministic cells."""
    input:
        grams=collect("<results>/gram/layer_{layer}.h5", layer=LAYERS),
    output:
        figure=report(
            "<results>/figures/diagnostics.svg",
            caption="../report/diagnostics.rst",
            category="Capture",
            labels={"figure": "diagnostics of the residual stream"},
        ),
        figure_png="<results>/figures/diagnostics.png",
    log:
        "<logs>/plot_gram.log",
    benchmark:
        "<benchmarks>/plot_gram.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1000),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.diagnostics"),
        model=MODEL,
    script:
        "../../scripts/plot_gram.py"


rule all_gram:
    """The Gram matrices of all layers, and their diagnostics."""
    input:
        rules.plot_gram.output,

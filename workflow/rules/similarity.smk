rule similarity:
    """Compare the samples of one layer pair by pair, at every step, in five strata of pairs."""
    input:
        samples=rules.index.output,
        gram="<results>/gram/layer_{layer}.h5",
    output:
        strata="<results>/similarity/strata/layer_{layer}.tsv",
        effects="<results>/similarity/effects/layer_{layer}.tsv",
        matrices="<results>/similarity/matrices/layer_{layer}.nc",
    log:
        "<logs>/similarity/layer_{layer}.log",
    benchmark:
        "<benchmarks>/similarity/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    params:
        code=fingerprint("innerear.similarity"),
        statistics=config["statistics"],
    resources:
        mem_mb=gram_mb,
        runtime=60,
    script:
        "../../scripts/similarity.py"

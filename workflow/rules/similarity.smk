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
    resources:
        mem_mb=gram_mb,
        runtime=60,
    params:
        code=fingerprint("innerear.similarity"),
        statistics=config["statistics"],
    script:
        "../../scripts/similarity.py"


rule plot_similarity:
    """Draw the similarity matrices, the five strata over the steps, and the map of the emotion effect."""
    input:
        samples=rules.index.output,
        strata=collect("<results>/similarity/strata/layer_{layer}.tsv", layer=LAYERS),
        effects=collect("<results>/similarity/effects/layer_{layer}.tsv", layer=LAYERS),
        matrices=collect("<results>/similarity/matrices/layer_{layer}.nc", layer=LAYERS),
    output:
        matrices=report(
            "<results>/figures/similarity_matrices.svg",
            caption="../report/similarity_matrices.rst",
            category="Similarity",
            labels={"figure": "similarity matrices"},
        ),
        strata=report(
            "<results>/figures/similarity_strata.svg",
            caption="../report/similarity_strata.rst",
            category="Similarity",
            labels={"figure": "five strata over the steps"},
        ),
        effect=report(
            "<results>/figures/emotion_effect.svg",
            caption="../report/emotion_effect.rst",
            category="Similarity",
            labels={"figure": "emotion effect, layer × step"},
        ),
    log:
        "<logs>/plot_similarity.log",
    benchmark:
        "<benchmarks>/plot_similarity.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1000),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.similarity"),
        model=config["model"]["name"],
    script:
        "../../scripts/plot_similarity.py"


rule all_similarity:
    """How alike the samples are, layer by layer and step by step."""
    input:
        rules.plot_similarity.output,

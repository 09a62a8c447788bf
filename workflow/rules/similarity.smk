rule similarity:
    """Compare the samples of one layer pair by pair, at every step, in five strata of pairs."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        gram="<results>/gram/layer_{layer}.h5",
    output:
        table="<results>/similarity/tables/layer_{layer}.tsv",
        null="<results>/similarity/nulls/layer_{layer}.tsv",
        matrices="<results>/similarity/matrices/layer_{layer}.h5",
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
        code=fingerprint("innerear.analyses.similarity"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/similarity.py"


rule similarity_map:
    """Join the layers and correct every effect over the whole map of layers and steps."""
    input:
        tables=collect("<results>/similarity/tables/layer_{layer}.tsv", layer=LAYERS),
        nulls=collect("<results>/similarity/nulls/layer_{layer}.tsv", layer=LAYERS),
    output:
        report(
            "<results>/similarity/map.tsv",
            caption="../report/emotion_effect.rst",
            category="Similarity",
            labels={"table": "strata and effects, layer × step"},
        ),
    log:
        "<logs>/similarity_map.log",
    benchmark:
        "<benchmarks>/similarity_map.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.similarity"),
    script:
        "../../scripts/similarity_map.py"


rule plot_similarity:
    """Draw the similarity matrices, the five strata over the steps, and the map of the emotion effect."""
    input:
        samples=rules.gate.output.samples,
        map=rules.similarity_map.output[0],
        matrices=collect("<results>/similarity/matrices/layer_{layer}.h5", layer=LAYERS),
    output:
        matrices=report(
            "<results>/figures/similarity_matrices.svg",
            caption="../report/similarity_matrices.rst",
            category="Similarity",
            labels={"figure": "similarity matrices, centred cosine"},
        ),
        matrices_png="<results>/figures/similarity_matrices.png",
        standardised=report(
            "<results>/figures/similarity_standardised.svg",
            caption="../report/similarity_matrices.rst",
            category="Similarity",
            labels={"figure": "similarity matrices, standardised cosine"},
        ),
        standardised_png="<results>/figures/similarity_standardised.png",
        raw=report(
            "<results>/figures/similarity_raw.svg",
            caption="../report/similarity_matrices.rst",
            category="Similarity",
            labels={"figure": "similarity matrices, raw cosine (diagnostic)"},
        ),
        raw_png="<results>/figures/similarity_raw.png",
        strata=report(
            "<results>/figures/similarity_strata.svg",
            caption="../report/similarity_strata.rst",
            category="Similarity",
            labels={"figure": "five strata over the steps"},
        ),
        strata_png="<results>/figures/similarity_strata.png",
        effect=report(
            "<results>/figures/emotion_effect.svg",
            caption="../report/emotion_effect.rst",
            category="Similarity",
            labels={"figure": "emotion effect, layer × step"},
        ),
        effect_png="<results>/figures/emotion_effect.png",
    log:
        "<logs>/plot_similarity.log",
    benchmark:
        "<benchmarks>/plot_similarity.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.similarity"),
        model=MODEL,
        contrast=config["contrast"],
    script:
        "../../scripts/plot_similarity.py"


rule all_similarity:
    """How alike the samples are, layer by layer and step by step."""
    input:
        rules.similarity_map.output,
        rules.plot_similarity.output,

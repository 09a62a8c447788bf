rule embedding:
    """Lay out samples, and samples over time, by UMAP; one job, for what UMAP compiles takes longer than a layer."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        grams=collect("<results>/gram/layer_{layer}.h5", layer=LAYERS),
    output:
        table="<results>/embedding/table.tsv",
        places="<results>/embedding/places.h5",
    log:
        "<logs>/embedding.log",
    benchmark:
        "<benchmarks>/embedding.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=120,
    params:
        code=fingerprint("innerear.analyses.embedding"),
        model=MODEL,
    script:
        "../../scripts/embedding.py"


rule plot_embedding:
    """Draw the layouts, with the trustworthiness of each."""
    input:
        samples=rules.gate.output.samples,
        table=rules.embedding.output.table,
        places=rules.embedding.output.places,
    output:
        samples=report(
            "<results>/figures/umap_samples.svg",
            caption="../report/umap_samples.rst",
            category="Geometry",
            labels={"figure": "UMAP of samples"},
        ),
        samples_png="<results>/figures/umap_samples.png",
        bins=report(
            "<results>/figures/umap_bins.svg",
            caption="../report/umap_bins.rst",
            category="Geometry",
            labels={"figure": "UMAP of samples × time bins"},
        ),
        bins_png="<results>/figures/umap_bins.png",
    log:
        "<logs>/plot_embedding.log",
    benchmark:
        "<benchmarks>/plot_embedding.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.embedding"),
        model=MODEL,
        contrast=config["contrast"],
    script:
        "../../scripts/plot_embedding.py"


rule all_embedding:
    """Pictures of neighbourhoods."""
    input:
        rules.embedding.output,
        rules.plot_embedding.output,

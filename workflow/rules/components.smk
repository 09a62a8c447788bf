rule components:
    """Find the principal components of one layer from its Gram matrices, and the paths of the prompts."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        gram="<results>/gram/layer_{layer}.h5",
    output:
        table="<results>/components/tables/layer_{layer}.tsv",
        scores="<results>/components/scores/layer_{layer}.h5",
    log:
        "<logs>/components/layer_{layer}.log",
    benchmark:
        "<benchmarks>/components/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=60,
    params:
        code=fingerprint("innerear.analyses.components"),
        model=MODEL,
    script:
        "../../scripts/components.py"


rule plot_components:
    """Draw the scree with its parallel analysis, the plane of the samples, and the prompts' paths through it."""
    input:
        samples=rules.gate.output.samples,
        tables=collect("<results>/components/tables/layer_{layer}.tsv", layer=LAYERS),
        scores=collect("<results>/components/scores/layer_{layer}.h5", layer=LAYERS),
    output:
        scree=report(
            "<results>/figures/scree.svg",
            caption="../report/scree.rst",
            category="Geometry",
            labels={"figure": "scree with parallel analysis"},
        ),
        scree_png="<results>/figures/scree.png",
        plane=report(
            "<results>/figures/pca_plane.svg",
            caption="../report/pca_plane.rst",
            category="Geometry",
            labels={"figure": "samples in the plane of PC 1 and 2"},
        ),
        plane_png="<results>/figures/pca_plane.png",
        trajectories=report(
            "<results>/figures/trajectories.svg",
            caption="../report/trajectories.rst",
            category="Geometry",
            labels={"figure": "prompt-mean trajectories"},
        ),
        trajectories_png="<results>/figures/trajectories.png",
    log:
        "<logs>/plot_components.log",
    benchmark:
        "<benchmarks>/plot_components.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.components"),
        model=MODEL,
        contrast=config["contrast"],
    script:
        "../../scripts/plot_components.py"


rule all_components:
    """The geometry of every layer."""
    input:
        rules.plot_components.output,

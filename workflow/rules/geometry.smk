use rule similarity as components with:
    output:
        table="<results>/<analysis>/tables/layers_{layers}.tsv",
        scores=directory("<results>/<analysis>/scores/{layers}"),
    pathvars:
        analysis="components",


use rule plot_similarity as plot_components with:
    input:
        samples=rules.gate.output.samples,
        table=of_all_layers("<results>/<analysis>/tables/layers_{layers}.tsv"),
        scores=of_all_layers("<results>/<analysis>/scores/{layers}"),
    output:
        **figures(
            "Geometry",
            scree="scree with parallel analysis",
            pca_plane="samples in the plane of PC 1 and 2",
            trajectories="prompt-mean trajectories",
        ),
    pathvars:
        analysis="components",


rule embedding:
    """Run UMAP on samples and on samples × time bins. One job: UMAP's compilation takes longer than a layer."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        grams=collect("<results>/gram/layer_{layer}.h5", layer=LAYERS),
    output:
        table="<results>/embedding/table.tsv",
        places="<results>/embedding/places.h5",
    resources:
        **needs(mb=GRAM_MB, minutes=120),
    params:
        model=MODEL,
    script:
        "../../scripts/embedding.py"


use rule plot_similarity as plot_embedding with:
    input:
        samples=rules.gate.output.samples,
        table=rules.embedding.output.table,
        places=rules.embedding.output.places,
    output:
        **figures("Geometry", umap_samples="UMAP of samples", umap_bins="UMAP of samples × time bins"),
    pathvars:
        analysis="embedding",


rule alignment:
    """Compare all layers with each other, and all time bins of each layer, by debiased CKA."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        grams=collect("<results>/gram/layer_{layer}.h5", layer=LAYERS),
    output:
        "<results>/alignment/table.tsv",
    resources:
        **needs(mb=GRAM_MB, minutes=120),
    params:
        model=MODEL,
    script:
        "../../scripts/alignment.py"


use rule plot_similarity as plot_alignment with:
    input:
        table=rules.alignment.output[0],
    output:
        **figures(
            "Geometry",
            alignment_layers="layer × layer, debiased CKA",
            alignment_time="time × time, debiased CKA",
        ),
    pathvars:
        analysis="alignment",


rule all_geometry:
    """The geometry of samples, layers and moments."""
    input:
        outputs_of("geometry"),

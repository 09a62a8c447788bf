"""Do the states differ between labels, where and when? The first analysis of a layer, its map and its figures
are written out; the others inherit from them (`use rule … as … with`) and differ in the pathvar `analysis`.
"""


rule similarity:
    """Run an analysis, layer after layer."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        grams=of_layers("<results>/gram/layer_{layer}.h5"),
    output:
        **results_of_layers("matrices"),
    pathvars:
        analysis="similarity",
    resources:
        **needs(mb=GRAM_MB, minutes=minutes_of_a_job(LABEL_SECONDS)),
    params:
        model=MODEL,
        label="",
    script:
        "../../scripts/layer.py"


rule similarity_map:
    """Join the layers of an analysis, and correct over the whole map."""
    input:
        **tables_of(LABEL_JOBS),
    output:
        mapped("Labels", "emotion_effect", "similarity: strata and effects, layer × step"),
    log:
        "<logs>/<analysis>/map.log",
    pathvars:
        analysis="similarity",
    resources:
        **needs(mb=2000, minutes=20),
    script:
        "../../scripts/map.py"


rule plot_similarity:
    """Draw the figures of an analysis."""
    input:
        samples=rules.gate.output.samples,
        table="<results>/<analysis>/map.tsv",
        matrices=of_all_layers("<results>/<analysis>/matrices/{layers}"),
    output:
        **figures(
            "Labels",
            similarity_matrices="similarity matrices, centred cosine",
            similarity_standardised="similarity matrices, standardised cosine",
            similarity_raw="similarity matrices, raw cosine (diagnostic)",
            similarity_strata="five strata over the steps",
            emotion_effect="emotion effect, layer × step",
        ),
    log:
        "<logs>/<analysis>/plot.log",
    pathvars:
        analysis="similarity",
    resources:
        **needs(mb=1500, minutes=20),
    params:
        named=NAMED,
    script:
        "../../scripts/plot.py"


use rule similarity as discriminability with:
    output:
        **results_of_layers("folds"),
    pathvars:
        analysis="discriminability",


use rule similarity_map as discriminability_map with:
    output:
        mapped("Labels", "discriminability_maps", "discriminability: layer × step × branch"),
    pathvars:
        analysis="discriminability",


rule best_layers:
    """Rank the layers, and confirm the best one on templates that did not choose it."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        folds=of_all_layers("<results>/discriminability/folds/{layers}"),
    output:
        reported(
            "best_layers/table.tsv",
            "Labels",
            "layer_ranks",
            table="ranks of the layers, and the best one confirmed",
        ),
    resources:
        **needs(mb=2000, minutes=20),
    params:
        model=MODEL,
    script:
        "../../scripts/best_layers.py"


use rule plot_similarity as plot_discriminability with:
    input:
        table="<results>/<analysis>/map.tsv",
        best=rules.best_layers.output[0],
    output:
        **figures(
            "Labels",
            discriminability_maps="discriminability, layer × step",
            discriminability_curves="discriminability over the steps",
            layer_ranks="ranks of the layers",
        ),
    pathvars:
        analysis="discriminability",


use rule similarity as emergence with:
    output:
        **results_of_layers(),
    pathvars:
        analysis="emergence",


use rule similarity_map as emergence_map with:
    output:
        mapped("Labels", "emergence", "emergence: onsets, shapes, early against late"),
    pathvars:
        analysis="emergence",


use rule plot_similarity as plot_emergence with:
    input:
        table="<results>/<analysis>/map.tsv",
        curves=rules.discriminability_map.output[0],
    output:
        **figures("Labels", emergence="evidence and onsets", early_late="first against last 10 % of steps"),
    pathvars:
        analysis="emergence",


use rule similarity as generalisation with:
    output:
        **results_of_layers(),
    pathvars:
        analysis="generalisation",


use rule similarity_map as generalisation_map with:
    output:
        mapped("Labels", "generalisation", "generalisation: train window × test window"),
    pathvars:
        analysis="generalisation",


use rule plot_similarity as plot_generalisation with:
    input:
        table="<results>/<analysis>/map.tsv",
    output:
        **figures("Labels", generalisation="temporal generalisation", transfer="transfer between branches"),
    pathvars:
        analysis="generalisation",


use rule generalisation as dimensions with:
    pathvars:
        analysis="dimensions",


use rule similarity_map as dimensions_map with:
    output:
        mapped("Labels", "dimensions", "single dimensions, by layer"),
    pathvars:
        analysis="dimensions",


use rule plot_generalisation as plot_dimensions with:
    output:
        **figures("Labels", dimensions="single dimensions, by layer"),
    pathvars:
        analysis="dimensions",


use rule generalisation as affect with:
    pathvars:
        analysis="affect",
    params:
        label="emotion",


use rule similarity_map as affect_map with:
    output:
        mapped("Labels", "affect", "valence and arousal, by layer"),
    pathvars:
        analysis="affect",


use rule plot_generalisation as plot_affect with:
    output:
        **figures("Labels", affect="valence and arousal, by layer"),
    pathvars:
        analysis="affect",


use rule generalisation as multiverse with:
    pathvars:
        analysis="multiverse",


use rule similarity_map as multiverse_map with:
    output:
        mapped("Labels", "multiverse", "headline effect under every choice"),
    pathvars:
        analysis="multiverse",


use rule plot_generalisation as plot_multiverse with:
    output:
        **figures("Labels", multiverse="headline effect under every choice"),
    pathvars:
        analysis="multiverse",


use rule design as control_design with:
    output:
        permutations="<results>/design/{control}.h5",
        summary="<results>/design/{control}.tsv",
    params:
        contrast=config["contrast"],
        statistics=STATISTICS | {"shuffle_labels": True},


use rule similarity as control with:
    input:
        samples=rules.gate.output.samples,
        design="<results>/design/{control}.h5",
        grams=of_layers("<results>/gram/layer_{layer}.h5"),
    output:
        table="<results>/controls/{control}/{analysis}/tables/layers_{layers}.tsv",
        null="<results>/controls/{control}/{analysis}/nulls/layers_{layers}.tsv",
    pathvars:
        analysis="controls",
    params:
        model=f"{MODEL} (labels shuffled)",
        label="",


use rule similarity_map as control_map with:
    input:
        tables=of_all_layers("<results>/controls/{{control}}/{{analysis}}/tables/layers_{layers}.tsv"),
        nulls=of_all_layers("<results>/controls/{{control}}/{{analysis}}/nulls/layers_{layers}.tsv"),
    output:
        "<results>/controls/{control}/{analysis}/map.tsv",
    log:
        "<logs>/controls/{control}/{analysis}/map.log",
    pathvars:
        analysis="controls",


rule all_label:
    """Do the states differ between labels, in which layers, and when?"""
    input:
        outputs_of("label"),

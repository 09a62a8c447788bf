"""Sparse features: dictionaries of some layers, what they cost, and which features go with label and sound.

The rules stand only in studies that ask for them (`features.enabled`).
"""

FEATURE_LAYERS = [f"{layer:02d}" for layer in STUDY.features.layers]
FEATURE_JOBS = layers_together(STUDY.features.layers, layers_of_a_job(SOUND_SECONDS))
TWIN = config["features"]["twin"] and not STUDY.features.given and not LOADING["random_init"]
# GB that a layer's float32 states take, of the branches that are recorded and of the twin, or memory_gb if that is
# less: more room changes no result.
STATES_BYTES = 4 * (len(STUDY.capture["branches"]) + TWIN) * SIZE.n_steps * STUDY.architecture.d_model
LAYER_GB = min(config["features"]["memory_gb"], (SIZE.n_samples + 1) * STATES_BYTES / 1e9)
DICTIONARIES = f"{RESULTS}/features/dictionaries"
# What dictionaries are trained on: states and, where they are trained here, controls.
TRAINED_ON = [*STUDY.features.of, *["gaussian"] * (not STUDY.features.given), *["random_init"] * TWIN]


if TWIN:

    rule twin:
        """Replay all clips with random weights, as a control: the states of a model that has learned nothing."""
        input:
            checkpoint=CHECKPOINT_FILES,
            samples=rules.gate.output.samples,
        output:
            directory("<results>/features/twin"),
        conda:
            "../../envs/generate.yaml"
        resources:
            **needs(mb=MODEL_MB, minutes=60),
            gpu=1,
        params:
            model=LOADING | {"random_init": True},
            capture={**STUDY.capture, "layers": STUDY.features.layers, "sites": [SITE]},
            batch_size=16,
        script:
            "../../scripts/twin.py"


rule dictionaries:
    """Train and measure the dictionaries of one layer (of states, of noise, of random weights); encode all clips."""
    input:
        **({"twin": rules.twin.output[0]} if TWIN else {}),
        given=finished_dictionaries,
        samples=rules.gate.output.samples,
    output:
        directory(collect("<results>/features/dictionaries/{of}/layer_{{layer}}", of=TRAINED_ON)),
        measures="<results>/features/measures/layer_{layer}.tsv",
        steps="<results>/features/activations/layer_{layer}.h5",
        clips="<results>/features/clips/layer_{layer}.h5",
    conda:
        "../../envs/generate.yaml"
    resources:
        **needs(mb=2500 + 2000 * LAYER_GB, minutes=240),
        gpu=1,
    params:
        study=config["study"],
        site=SITE,
        training=STUDY.features.training,
        settings=STUDY.features.settings,
        given=STUDY.features.given,
        times=times_of(finished_dictionaries),
        n_seeds=config["features"]["seeds"],
        memory_gb=LAYER_GB,
        device=LOADING["device"],
    script:
        "../../scripts/dictionaries.py"


rule splices:
    """Replay clips with reconstructions in place of states."""
    input:
        collect("<results>/features/measures/layer_{layer}.tsv", layer=FEATURE_LAYERS),
        checkpoint=CHECKPOINT_FILES,
        samples=rules.gate.output.samples,
    output:
        costs=reported("features/splices.tsv", "Features", "splices", table="what reconstructions cost"),
    conda:
        "../../envs/generate.yaml"
    resources:
        **needs(mb=MODEL_MB + 2000 * LAYER_GB, minutes=60),
        gpu=1,
    params:
        model=LOADING,
        folder=DICTIONARIES,
        layers=STUDY.features.layers,
        site=SITE,
        guidance=config["generation"]["guidance"],
        memory_gb=LAYER_GB,
    script:
        "../../scripts/splices.py"


rule known:
    """Train on sums of code embeddings, a known dictionary (positive control)."""
    input:
        checkpoint=CHECKPOINT_FILES,
        samples=rules.gate.output.samples,
    output:
        reported("features/known.tsv", "Features", "splices", table="the positive control"),
    conda:
        "../../envs/generate.yaml"
    resources:
        # The tokens, what the dictionary writes of them, and two differences.
        **needs(mb=MODEL_MB + 4000 * LAYER_GB, minutes=60),
        gpu=1,
    params:
        model=LOADING,
        memory_gb=LAYER_GB,
    script:
        "../../scripts/known.py"


rule features:
    """Test the features of each layer: label and sound, of clips and over time, on held-out templates."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        grams=of_layers("<results>/gram/layer_{layer}.h5"),
        clips=of_layers(rules.dictionaries.output.clips),
        steps=of_layers(rules.dictionaries.output.steps),
        acoustics=rules.clip_features.output.clips,
        frames=rules.clip_features.output.frames,
    output:
        **results_of_layers(),
    pathvars:
        analysis="features",
    conda:
        "../../envs/acoustics.yaml"
    resources:
        **needs(mb=GRAM_MB, minutes=minutes_of_a_job(SOUND_SECONDS)),
    params:
        model=MODEL,
    script:
        "../../scripts/features.py"


use rule similarity_map as features_map with:
    input:
        **tables_of(FEATURE_JOBS),
    output:
        mapped("Features", "features", "features, by layer"),
    pathvars:
        analysis="features",


use rule plot_similarity as plot_features with:
    input:
        table="<results>/<analysis>/map.tsv",
        measures=collect("<results>/features/measures/layer_{layer}.tsv", layer=FEATURE_LAYERS),
        costs=rules.splices.output.costs,
        known=rules.known.output[0],
    output:
        **figures(
            "Features",
            dictionaries="dictionaries and their controls",
            features="features compared with dimensions and the random twin",
        ),
    pathvars:
        analysis="features",


rule describe_features:
    """Describe the features on the page: near directions, codes that they read, likelihood without them."""
    input:
        collect("<results>/features/measures/layer_{layer}.tsv", layer=FEATURE_LAYERS),
        checkpoint=CHECKPOINT_FILES,
        samples=rules.gate.output.samples,
        table=rules.features_map.output[0],
        activations=collect("<results>/features/activations/layer_{layer}.h5", layer=FEATURE_LAYERS),
    output:
        "<results>/features/described.tsv",
    conda:
        "../../envs/generate.yaml"
    resources:
        **needs(mb=MODEL_MB, minutes=60),
        gpu=1,
    params:
        model=LOADING,
        folder=DICTIONARIES,
        layers=STUDY.features.layers,
        site=SITE,
        guidance=config["generation"]["guidance"],
    script:
        "../../scripts/describe_features.py"


rule features_page:
    """Make a page of the features that differ most surely, with moments to listen to."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        table=rules.features_map.output[0],
        described=rules.describe_features.output[0],
        activations=collect("<results>/features/activations/layer_{layer}.h5", layer=FEATURE_LAYERS),
    output:
        reported("features.html", "Features", "features_page", page="features, to listen to"),
    conda:
        "../../envs/generate.yaml"
    resources:
        **needs(mb=2000, minutes=20),
    params:
        heading=heading,
        layers=STUDY.features.layers,
    script:
        "../../scripts/features_page.py"


rule all_features:
    """Sparse features: dictionaries, their cost, and their relation to labels and sound; only if the study asks for them."""
    input:
        outputs_of("features") if FEATURE_LAYERS else [],

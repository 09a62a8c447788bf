# Trials of a listening test, at most: about each label, about each of so many features, and about each steered
# layer. A quarter as many more are controls.
LISTENING = {"label": 5, "features": 3, "intruder": 12, "detection": 6, "steering": 8}


# Made when they are asked for: a listening test takes listeners.


rule listening_test:
    """Make the page of a blind listening test, and the key that scores its answers."""
    input:
        **({"features": rules.features_map.output[0]} if FEATURE_LAYERS else {}),
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        activations=collect("<results>/features/activations/layer_{layer}.h5", layer=FEATURE_LAYERS),
        steered=collect("<results>/interventions/trained/sounds/layer_{layer}.h5", layer=EDITED_LAYERS),
    output:
        page=reported("listening_test.html", "Sound", "listening_test", page="listening test"),
        key="<results>/listening/key.json",
    conda:
        "../../envs/acoustics.yaml"
    resources:
        **needs(mb=1500, minutes=20),
    params:
        asked=LISTENING,
        layers=STUDY.features.layers,
        branches=["uncond", *["random_init"] * TWIN],
        pole=PLANNED["poles"][1] if PLANNED else "",
        seed=config["statistics"]["seed"],
    script:
        "../../scripts/listening_test.py"


rule score:
    """Score the answers that listeners have sent back, each by the page that it answers, with exact tests.

    The page is no input: a study that has changed would make another, which nobody has answered.
    """
    input:
        responses,
    output:
        reported("listening/scores.tsv", "Sound", "listening_test", table="scores of the listening test"),
    resources:
        **needs(mb=1000, minutes=10),
    script:
        "../../scripts/score.py"

rule directions:
    """Fit the directions between the poles at each layer, for each template on the others."""
    input:
        samples=rules.gate.output.samples,
        fires=collect("<results>/features/clips/layer_{layer}.h5", layer=FEATURES_STEERED),
        dictionaries=collect("<results>/features/dictionaries/uncond/layer_{layer}", layer=FEATURES_STEERED),
    output:
        "<results>/interventions/trained/directions.h5",
    conda:
        "../../envs/generate.yaml"
    resources:
        **needs(mb=2500, minutes=60),
    params:
        plan=plan_of("sources"),
        site=SITE,
    script:
        "../../scripts/directions.py"


rule steer:
    """Compose neutral clips while their states are moved at one layer; measure their sound and cost."""
    input:
        checkpoint=CHECKPOINT_FILES,
        directions=rules.directions.output[0],
    output:
        table="<results>/interventions/trained/steered/layer_{layer}.tsv",
        sounds="<results>/interventions/trained/sounds/layer_{layer}.h5",
    conda:
        "../../envs/generate.yaml"
    resources:
        **needs(mb=STEERED_MB, minutes=240),
        gpu=1,
    params:
        model=LOADING,
        plan=plan_of("sources", "branches", "doses", "draws", "duration"),
        run=interventions_run,
        generation=SAMPLING,
    script:
        "../../scripts/steer.py"


rule steer_twin:
    """Fit the directions of the model's random twin; compose clips along them, and measure these."""
    input:
        checkpoint=CHECKPOINT_FILES,
        samples=rules.gate.output.samples,
    output:
        directions="<results>/interventions/random_init/directions.h5",
        table="<results>/interventions/random_init/steered.tsv",
    conda:
        "../../envs/generate.yaml"
    resources:
        **needs(mb=STEERED_MB, minutes=240),
        gpu=1,
    params:
        model=LOADING | {"random_init": True},
        plan=plan_of("duration", **TWIN_ALONG),
        run=interventions_run,
        generation=SAMPLING,
        site=SITE,
    script:
        "../../scripts/steer_twin.py"


rule ablate:
    """Compose clips of emotional texts without the emotions' subspace of the states, and without a random one."""
    input:
        checkpoint=CHECKPOINT_FILES,
        directions=rules.directions.output[0],
    output:
        "<results>/interventions/ablated.tsv",
    conda:
        "../../envs/generate.yaml"
    resources:
        **needs(mb=STEERED_MB, minutes=120),
        gpu=1,
    params:
        model=LOADING,
        plan=plan_of("duration"),
        run=interventions_run,
        generation=SAMPLING,
        prompts=fields_of(STUDY.prompts),
    script:
        "../../scripts/ablate.py"


rule patch:
    """Read clips with cond's states taken from another text's run, or from another clip's."""
    input:
        checkpoint=CHECKPOINT_FILES,
        samples=rules.gate.output.samples,
    output:
        "<results>/interventions/patched.tsv",
    conda:
        "../../envs/generate.yaml"
    resources:
        **needs(mb=MODEL_MB, minutes=60),
        gpu=1,
    params:
        model=LOADING,
        plan=plan_of(),
        run=interventions_run,
        generation=SAMPLING,
        site=SITE,
    script:
        "../../scripts/patch.py"


rule interventions_map:
    """Test the effects of edits: against random directions, over templates, and between layers."""
    input:
        samples=rules.gate.output.samples,
        clips=rules.clip_features.output.clips,
        steered=collect("<results>/interventions/trained/steered/layer_{layer}.tsv", layer=EDITED_LAYERS),
        twin=[rules.steer_twin.output.table] if TWIN_STEERED else [],
        ablated=rules.ablate.output[0],
        patched=rules.patch.output[0],
    output:
        map=reported("interventions/map.tsv", "Steering", "steering", table="what interventions change"),
        curves="<results>/interventions/curves.tsv",
    pathvars:
        analysis="interventions",
    resources:
        **needs(mb=2000, minutes=20),
    params:
        model=MODEL,
        plan=plan_of(),
        statistics=STATISTICS,
    script:
        "../../scripts/interventions_map.py"


use rule plot_similarity as plot_interventions with:
    input:
        table=rules.interventions_map.output.map,
        curves=rules.interventions_map.output.curves,
    output:
        **figures(
            "Steering",
            steering="dose and effect, dose and cost",
            ablation="clips named right without a subspace",
            patching="what another run's states cost",
        ),
    pathvars:
        analysis="interventions",


rule steering_page:
    """Make a page of the steered clips: a slider moves the dose while a clip plays."""
    input:
        sounds=collect("<results>/interventions/trained/sounds/layer_{layer}.h5", layer=EDITED_LAYERS),
        figures=[path for path in rules.plot_interventions.output if str(path).endswith(".svg")],
        captions=CAPTIONS,
    output:
        reported("steering.html", "Steering", "listen_steering", page="steered clips"),
    conda:
        "../../envs/acoustics.yaml"
    resources:
        **needs(mb=1500, minutes=20),
    params:
        heading=heading,
        plan=plan_of(),
    script:
        "../../scripts/steering_page.py"


rule all_steering:
    """Effects of edited states on the music; only if the study asks for them."""
    input:
        branch(
            bool(PLANNED),
            then=[
                rules.interventions_map.output,
                rules.plot_interventions.output,
                rules.steering_page.output,
            ],
        ),

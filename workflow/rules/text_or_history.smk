# As for generation, each list of folders that one job makes has a copy of the rule.
for number, (templates, texts) in enumerate(replaying_jobs()):

    rule:
        """Replay the clips of templates under every text of their template; keep Gram matrices and likelihoods."""
        name:
            copy_of("counterfactual", number)
        input:
            checkpoint=CHECKPOINT_FILES,
            samples=rules.gate.output.samples,
        output:
            # One folder of a file per layer: each file that is listed takes time to plan.
            [directory(f"<results>/counterfactual/{{weights}}/{template}") for template in templates],
        log:
            f"<logs>/counterfactual/{{weights}}/{templates[0]}.log",
        benchmark:
            f"<benchmarks>/counterfactual/{{weights}}/{templates[0]}.tsv"
        conda:
            "../../envs/generate.yaml"
        resources:
            **needs(mb=CELLS_MB, minutes=120),
            gpu=1,
        params:
            model=loading_of,
            texts=texts,
            layers=STUDY.layers,
            site=SITE,
            keep_states=config["counterfactual"]["keep_states"],
            dtype=config["capture"]["dtype"],
            run=counterfactual_run,
        script:
            "../../scripts/counterfactual.py"


rule cells:
    """List the replayed files of all templates, layer by layer."""
    input:
        collect("<results>/counterfactual/{{weights}}/{template}", template=BLOCKS),
    output:
        "<results>/counterfactual/{weights}.tsv",
    resources:
        **needs(mb=500, minutes=10),
    params:
        layers=STUDY.layers,
    script:
        "../../scripts/cells.py"


rule decomposition:
    """Divide the variance of each layer between text, history and their interaction."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        cells=rules.cells.output[0],
    output:
        table="<results>/decomposition/tables/{weights}/layers_{layers}.tsv",
        null="<results>/decomposition/nulls/{weights}/layers_{layers}.tsv",
    resources:
        **needs(mb=3000, minutes=minutes_of_a_job(LABEL_SECONDS)),
    params:
        model=MODEL,
    script:
        "../../scripts/decomposition.py"


use rule similarity_map as decomposition_map with:
    input:
        tables=of_all_layers("<results>/decomposition/tables/{weights}/layers_{layers}.tsv", weights=WEIGHTS),
        nulls=of_all_layers("<results>/decomposition/nulls/{weights}/layers_{layers}.tsv", weights=WEIGHTS),
    output:
        reported("decomposition/map.tsv", "Text or history", "text_or_history", table="shares, layer × step"),
    log:
        "<logs>/decomposition/map.log",
    pathvars:
        analysis="text_or_history.decomposition",


rule likelihood:
    """Compare the likelihood of every clip's codes under every text of its template."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        cells=rules.cells.output[0],
    output:
        reported(
            "decomposition/likelihood/{weights}.tsv",
            "Text or history",
            "likelihood_matrix",
            table="likelihood of codes under texts, {weights}",
        ),
    resources:
        **needs(mb=2000, minutes=20),
    params:
        model=MODEL,
    script:
        "../../scripts/likelihood.py"


use rule plot_similarity as plot_decomposition with:
    input:
        table=rules.decomposition_map.output[0],
        likelihood=collect("<results>/decomposition/likelihood/{weights}.tsv", weights=WEIGHTS),
    output:
        **figures(
            "Text or history",
            text_or_history="shares over the layers",
            text_or_history_steps="shares over the steps",
            text_maps="maps, layer × step, and overtaking",
            text_probes="one code for text and history?",
            likelihood_matrix="likelihood of codes under texts",
        ),
    pathvars:
        analysis="decomposition",


rule counterfactual_page:
    """Make a page of the figures, and of the first template's clips with their likelihood under its texts."""
    input:
        samples=rules.gate.output.samples,
        likelihood=collect("<results>/counterfactual/trained/{template}", template=EXAMPLE_BLOCK),
        figures=[
            rules.plot_decomposition.output.text_or_history,
            rules.plot_decomposition.output.text_or_history_steps,
            rules.plot_decomposition.output.likelihood_matrix,
        ],
        captions=CAPTIONS,
        audio=later(
            CLIPS,
            sample=samples_of(prompt for name in EXAMPLE_BLOCK for prompt in BLOCKS[name].prompts),
        ),
    output:
        reported("counterfactual.html", "Sound", "listen_counterfactual", page="clips under other texts"),
    conda:
        "../../envs/acoustics.yaml"
    resources:
        **needs(mb=1500, minutes=20),
    params:
        heading=heading,
        templates=list(BLOCKS),
    script:
        "../../scripts/counterfactual_page.py"


rule all_text_or_history:
    """Does the emotion in the states come from the text, or from the music so far?"""
    input:
        collect("<results>/counterfactual/{weights}.tsv", weights=WEIGHTS),
        branch(bool(BLOCKS), then=rules.counterfactual_page.output),
        rules.decomposition_map.output,
        rules.plot_decomposition.output,

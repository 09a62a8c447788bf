rule replication:
    """Repeat the published comparison of two prompts, then the corrected one: by branch, centred, against chance."""
    input:
        samples=rules.gate.output.samples,
    output:
        table=reported("replication/table.tsv", "Answers", "replication", table="published values and ours"),
        curves="<results>/replication/curves.tsv",
    resources:
        **needs(mb=2000, minutes=30),
    params:
        model=MODEL,
        layers=STUDY.layers,
        site=SITE,
    script:
        "../../scripts/replication.py"


use rule plot_similarity as plot_replication with:
    input:
        samples=rules.gate.output.samples,
        curves=rules.replication.output.curves,
    output:
        **figures("Answers", replication="cosine over the steps, as published and right"),
    pathvars:
        analysis="replication",


rule checklist:
    """Answer the checklist of the project's first notes from the study's tables."""
    input:
        samples=rules.gate.output.samples,
        checks=rules.qc.output[0],
        similarity=rules.similarity_map.output[0],
        audio_check=rules.audio_check.output.effects,
        best_layers=rules.best_layers.output[0],
    output:
        reported("checklist.tsv", "Answers", "checklist", table="what the study shows"),
    resources:
        **needs(mb=1500, minutes=20),
    script:
        "../../scripts/checklist.py"


rule findings:
    """Answer the study's questions: which effects are established, and which are not."""
    input:
        # The answers stand in this order.
        **({"features": rules.features_map.output[0]} if FEATURE_LAYERS else {}),
        audio_check=rules.audio_check.output.effects,
        audio_verdict=rules.audio_check.output.verdict,
        discriminability=rules.discriminability_map.output[0],
        best_layers=rules.best_layers.output[0],
        emergence=rules.emergence_map.output[0],
        generalisation=rules.generalisation_map.output[0],
        lags=rules.lags_map.output[0],
        similarity=rules.similarity_map.output[0],
        components=of_all_layers("<results>/components/tables/layers_{layers}.tsv"),
        dimensions=rules.dimensions_map.output[0],
        decomposition=rules.decomposition_map.output[0],
        likelihood=rules.plot_decomposition.input.likelihood,
        sound=rules.sound_map.output[0],
        sound_and_label=rules.sound_and_label_map.output[0],
        interventions=[rules.interventions_map.output.map] if PLANNED else [],
        embedding=rules.embedding.output.table,
        alignment=rules.alignment.output[0],
        affect=rules.affect_map.output[0],
        controls=collect(
            "<results>/controls/{control}/{analysis}/map.tsv", control=SHUFFLED, analysis=CONTROLLED
        ),
        studies=collect("results/{study}/{analysis}/map.tsv", study=OTHER_STUDIES, analysis=CONTROLLED),
    output:
        reported("findings.tsv", "Answers", "findings", table="answers"),
    resources:
        **needs(mb=1500, minutes=20),
    params:
        asked=ASKED,
    script:
        "../../scripts/findings.py"


rule answers:
    """Make the page to open first: all answers with their figures and captions."""
    input:
        findings=rules.findings.output[0],
        figures=figures_with_captions,
        captions=CAPTIONS,
        samples=rules.gate.output.samples,
        design=rules.design.output.summary,
    output:
        reported("index.html", "Answers", "findings", page="answers"),
    resources:
        **needs(mb=1500, minutes=20),
    params:
        heading=heading,
    script:
        "../../scripts/answers.py"


rule map_page:
    """Make the page with the maps of layers and steps, and the music of each moment."""
    input:
        **({"features": rules.features_map.output[0]} if FEATURE_LAYERS else {}),
        samples=rules.gate.output.samples,
        discriminability=rules.discriminability_map.output[0],
        similarity=rules.similarity_map.output[0],
        decomposition=rules.decomposition_map.output[0],
        grams=collect("<results>/gram/layer_{layer}.h5", layer=LAYERS),
        frames=rules.clip_features.output.frames,
        activations=collect("<results>/features/activations/layer_{layer}.h5", layer=FEATURE_LAYERS),
    output:
        reported("map.html", "Answers", "map", page="layers and steps"),
    conda:
        "../../envs/acoustics.yaml"
    resources:
        **needs(mb=2000, minutes=30),
    params:
        heading=heading,
        features=STUDY.features.layers,
    script:
        "../../scripts/map_page.py"


rule record:
    """Make the page of checks, settings, estimates and used resources. It runs last, since it counts what jobs took."""
    input:
        samples=rules.gate.output.samples,
        checks=rules.gate.output.summary,
        verification=rules.verify.output[0],
        checklist=rules.checklist.output[0],
        design=rules.design.output.summary,
        citation=os.path.relpath(f"{workflow.basedir}/CITATION.cff"),
        pins=[PINS] if STUDY.hub_model else [],
        after=[rules.answers.output, rules.map_page.output, rules.clips.output],
    output:
        reported("record.html", "Answers", "record", page="record"),
    resources:
        **needs(mb=1500, minutes=20),
    params:
        heading=heading,
        asked=asked_of_study,
        estimated=estimated,
    script:
        "../../scripts/record.py"


rule all_answers:
    """All answers on one page, and the published comparison if the study asks for it."""
    input:
        rules.findings.output,
        rules.answers.output,
        rules.map_page.output,
        rules.record.output,
        rules.checklist.output,
        branch(config["replication"], then=[rules.replication.output, rules.plot_replication.output]),

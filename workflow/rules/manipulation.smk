rule manipulation:
    """Ask whether the audio itself differs between emotions: by feature, by contrast, and as a whole."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        clips=rules.clip_features.output.clips,
    output:
        verdict=report(
            "<results>/manipulation/verdict.tsv",
            caption="../report/manipulation.rst",
            category="At the head: does the audio differ?",
            labels={"table": "the verdict"},
        ),
        effects=report(
            "<results>/manipulation/effects.tsv",
            caption="../report/manipulation.rst",
            category="At the head: does the audio differ?",
            labels={"table": "ANOVA and Hedges g by feature"},
        ),
        classification=report(
            "<results>/manipulation/classification.tsv",
            caption="../report/manipulation.rst",
            category="At the head: does the audio differ?",
            labels={"table": "classification from sound alone"},
        ),
    log:
        "<logs>/manipulation.log",
    benchmark:
        "<benchmarks>/manipulation.tsv"
    conda:
        "../../envs/acoustics.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.audio_check"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/manipulation.py"


rule plot_manipulation:
    """Draw how far the audio differs between emotions, under the verdict."""
    input:
        effects=rules.manipulation.output.effects,
        verdict=rules.manipulation.output.verdict,
        validity=rules.clip_features.output.validity,
    output:
        forest=report(
            "<results>/figures/manipulation.svg",
            caption="../report/manipulation.rst",
            category="At the head: does the audio differ?",
            labels={"figure": "the verdict, and effect sizes"},
        ),
        forest_png="<results>/figures/manipulation.png",
    log:
        "<logs>/plot_manipulation.log",
    benchmark:
        "<benchmarks>/plot_manipulation.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.audio_check"),
        model=MODEL,
    script:
        "../../scripts/plot_manipulation.py"


rule all_manipulation:
    """Whether the audio differs at all, which everything else is read by."""
    input:
        rules.manipulation.output,
        rules.plot_manipulation.output,

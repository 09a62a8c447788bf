rule listen:
    """Put all clips on one page, ordered emotion → prompt → seed, each with a player and its panel."""
    input:
        samples=rules.gate.output.samples,
        clips=rules.clip_features.output.clips,
        frames=rules.clip_features.output.frames,
        grams=collect("<results>/gram/layer_{layer}.h5", layer=LAYERS),
    output:
        report(
            "<results>/listen.html",
            caption="../report/listen.rst",
            category="Sound",
            labels={"page": "listen to the clips"},
        ),
    log:
        "<logs>/listen.log",
    benchmark:
        "<benchmarks>/listen.tsv"
    conda:
        "../../envs/acoustics.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.pages.clips"),
        study=config["study"],
        model=MODEL,
    script:
        "../../scripts/listen.py"


rule all_listen:
    """The page with all clips."""
    input:
        rules.listen.output,

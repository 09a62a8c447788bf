rule replay:
    """Hear the clips of one prompt once more, at the layers and sites of an extra capture; nothing is generated."""
    input:
        weights=WEIGHTS,
        stacks=collect("<results>/stacks/{{prompt}}/seed-{seed}.h5", seed=SEEDS),
    output:
        collect("<results>/captures/{{capture}}/{{prompt}}/seed-{seed}.h5", seed=SEEDS),
    log:
        "<logs>/replay/{capture}/{prompt}.log",
    benchmark:
        "<benchmarks>/replay/{capture}/{prompt}.tsv"
    conda:
        "../../envs/generate.yaml"
    resources:
        gpu=1,
        mem_mb=generation_mb,
        runtime=30,
    params:
        code=fingerprint("innerear.capture.replay"),
        model=LOADING,
        capture=lookup("{capture}", within=STUDY.captures),
    script:
        "../../scripts/replay.py"


rule all_replay:
    """The extra captures that the configuration names."""
    input:
        collect(
            "<results>/captures/{capture}/{prompt}/seed-{seed}.h5",
            capture=STUDY.captures,
            prompt=PROMPTS,
            seed=SEEDS,
        ),

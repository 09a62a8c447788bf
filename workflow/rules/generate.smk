rule generate:
    """Generate the clip of one (prompt, seed) pair and record the hidden state of every step."""
    input:
        weights=WEIGHTS,
    output:
        stack="<results>/stacks/{prompt}/seed-{seed}.h5",
        audio="<results>/audio/{prompt}/seed-{seed}.wav",
    log:
        "<logs>/generate/{prompt}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/generate/{prompt}/seed-{seed}.tsv"
    conda:
        "../../envs/generate.yaml"
    resources:
        gpu=1,
        mem_mb=megabytes(2500),
        runtime=30,
    params:
        code=fingerprint("innerear.generation"),
        study=config["study"],
        prompt=prompt_of,
        model=LOADING,
        architecture=asdict(STUDY.architecture),
        capture=STUDY.capture,
        generation=config["generation"],
    script:
        "../../scripts/generate.py"


rule index:
    """List all samples with their content hashes: the one link between the stacks and the fan-in."""
    input:
        stacks=collect(
            "<results>/stacks/{prompt}/seed-{seed}.h5", prompt=PROMPTS, seed=SEEDS
        ),
        audio=collect(
            "<results>/audio/{prompt}/seed-{seed}.wav", prompt=PROMPTS, seed=SEEDS
        ),
    output:
        "<results>/samples.tsv",
    log:
        "<logs>/index.log",
    benchmark:
        "<benchmarks>/index.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1000),
        runtime=30,
    params:
        code=fingerprint("innerear.index"),
    script:
        "../../scripts/index.py"


rule all_samples:
    """Every sample, listed."""
    input:
        rules.index.input,
        rules.index.output,

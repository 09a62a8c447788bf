rule generate:
    """Generate the clips of one (prompt, seed) pair, or of all seeds of a prompt, and record every step."""
    input:
        weights=WEIGHTS,
    output:
        stacks=collect(
            "<results>/stacks/{{prompt}}/seed-{seed}.h5", seed=SEEDS_OF_A_JOB
        ),
        audio=collect("<results>/audio/{{prompt}}/seed-{seed}.wav", seed=SEEDS_OF_A_JOB),
    log:
        f"<logs>/generate/{GENERATION_JOB}.log",
    benchmark:
        f"<benchmarks>/generate/{GENERATION_JOB}.tsv"
    conda:
        "../../envs/generate.yaml"
    resources:
        gpu=1,
        mem_mb=generation_mb,
        runtime=30,
    params:
        code=fingerprint("innerear.capture.generation"),
        study=config["study"],
        prompt=prompt_of,
        model=LOADING,
        architecture=asdict(STUDY.architecture),
        capture=STUDY.capture,
        generation=SAMPLING,
        seeds=seeds_of,
        batch_size=batch_size_of,
    script:
        "../../scripts/generate.py"


rule index:
    """List all samples with their content hashes: the one link between the stacks and the fan-in."""
    input:
        all_stacks,
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
        code=fingerprint("innerear.stacks.index"),
        audio=f"{RESULTS}/audio",
        labels=own_labels,
    script:
        "../../scripts/index.py"


rule all_samples:
    """Every sample, listed; by this name also those that were removed since."""
    input:
        all_stacks,
        all_audio,
        rules.index.output,

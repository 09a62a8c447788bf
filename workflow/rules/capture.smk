if STUDY.hub_model:

    rule fetch:
        """Bring the model, its text encoder and its codec into the hub's cache, once, and pin their revisions."""
        output:
            PINS,
        log:
            "<logs>/fetch.log",
        benchmark:
            "<benchmarks>/fetch.tsv"
        # On a cluster it runs where Snakemake does, which has a network.
        localrule: True
        conda:
            "../../envs/generate.yaml"
        resources:
            mem_mb=megabytes(1500),
            runtime=240,
        params:
            model=FETCHED,
        script:
            "../../scripts/fetch.py"


rule generate:
    """Generate the clips of one (prompt, seed) pair, or of all seeds of a prompt, and record every step."""
    input:
        checkpoint=CHECKPOINT_FILES,
    output:
        stacks=collect("<results>/stacks/{{prompt}}/seed-{seed}.h5", seed=SEEDS_OF_A_JOB),
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
    """List all samples with their content hashes: the only link between stacks and analyses."""
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
        audio=f"{RESULTS}/audio",
        labels=own_labels,
    script:
        "../../scripts/index.py"


rule all_samples:
    """All stacks, clips and the index. Ask for this target to remake removed ones."""
    input:
        all_stacks,
        all_audio,
        rules.index.output,


rule qc:
    """Check what must hold of every capture, and keep each measured value."""
    input:
        samples=rules.index.output[0],
    output:
        report(
            "<results>/qc/checks.tsv",
            caption="../report/qc.rst",
            category="Capture",
            labels={"table": "quality checks"},
        ),
    log:
        "<logs>/qc.log",
    benchmark:
        "<benchmarks>/qc.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=60,
    script:
        "../../scripts/qc.py"


rule verify:
    """Prove the captures: replay one sample of each prompt, and generate one sample again."""
    input:
        samples=rules.index.output[0],
        checkpoint=CHECKPOINT_FILES,
    output:
        report(
            "<results>/qc/verification.tsv",
            caption="../report/qc.rst",
            category="Capture",
            labels={"table": "replay and regeneration"},
        ),
    log:
        "<logs>/verify.log",
    benchmark:
        "<benchmarks>/verify.tsv"
    conda:
        "../../envs/generate.yaml"
    resources:
        gpu=1,
        mem_mb=generation_mb,
        runtime=120,
    params:
        model=LOADING,
        generation=SAMPLING,
    script:
        "../../scripts/verify.py"


rule gate:
    """Pass the samples on to the analyses if every check passed; else stop and name what failed."""
    input:
        samples=rules.index.output[0],
        checks=[rules.qc.output[0], rules.verify.output[0]],
    output:
        samples="<results>/qc/samples.tsv",
        summary=report(
            "<results>/qc/summary.tsv",
            caption="../report/qc.rst",
            category="Capture",
            labels={"table": "what was checked, and the worst of each"},
        ),
    log:
        "<logs>/gate.log",
    benchmark:
        "<benchmarks>/gate.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(500),
        runtime=10,
    script:
        "../../scripts/gate.py"


rule replay:
    """Replay the clips of one prompt to record further layers and sites; nothing is generated."""
    input:
        checkpoint=CHECKPOINT_FILES,
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
        model=LOADING,
        capture=lookup("{capture}", within=STUDY.captures),
    script:
        "../../scripts/replay.py"


rule design:
    """Draw the permutation table that all analyses share, and write what the design allows."""
    input:
        samples=rules.gate.output.samples,
    output:
        permutations="<results>/design/permutations.h5",
        summary=report(
            "<results>/design/design.tsv",
            caption="../report/design.rst",
            category="Design",
            labels={"table": "blocks, folds, permutations, smallest p"},
        ),
    log:
        "<logs>/design.log",
    benchmark:
        "<benchmarks>/design.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1000),
        runtime=10,
    params:
        contrast=config["contrast"],
        statistics=config["statistics"],
    script:
        "../../scripts/design.py"


rule gram:
    """Read one layer of every stack once and keep its Gram matrices: per step, window and time bin."""
    input:
        samples=rules.gate.output.samples,
    output:
        "<results>/gram/layer_{layer}.h5",
    log:
        "<logs>/gram/layer_{layer}.log",
    benchmark:
        "<benchmarks>/gram/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=120,
    params:
        bins=config["gram"]["bins"],
        steps_per_matrix=config["gram"]["steps_per_matrix"],
        site=SITE,
    script:
        "../../scripts/gram.py"


rule plot_diagnostics:
    """Draw what a raw cosine would have seen: common mean, massive dimensions, deterministic cells."""
    input:
        grams=collect("<results>/gram/layer_{layer}.h5", layer=LAYERS),
    output:
        **figures("Capture", diagnostics="what a raw cosine would have seen"),
    log:
        "<logs>/<analysis>/plot.log",
    benchmark:
        "<benchmarks>/plot_<analysis>.tsv"
    pathvars:
        analysis="diagnostics",
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        named=NAMED,
    script:
        "../../scripts/plot.py"


rule all_capture:
    """Every capture, checked, with the captures that the configuration names, and the Gram matrices."""
    input:
        # Not every stack and clip: each file that is listed takes time to plan, and the index lists them.
        rules.index.output,
        collect(
            "<results>/captures/{capture}/{prompt}/seed-{seed}.h5",
            capture=STUDY.captures,
            prompt=PROMPTS,
            seed=SEEDS,
        ),
        outputs_of("capture"),

if STUDY.hub_model:

    rule fetch:
        """Download the model, its text encoder and its codec into the hub's cache, once, and pin their revisions."""
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
            **needs(mb=1500, minutes=240),
        params:
            model=FETCHED,
        script:
            "../../scripts/fetch.py"


# Outputs cannot depend on the prompt: each list of samples that one job makes has a copy of the rule. They are
# marked as updated so that Snakemake leaves those in place that are there: the job keeps what is whole.
for number, (job, samples, prompts) in enumerate(generation_jobs()):

    rule:
        """Generate the clips of one pair, one prompt or several prompts, or read recorded ones; record every step."""
        name:
            copy_of("generate", number)
        input:
            of_prompts(recordings_of, prompts),
            checkpoint=CHECKPOINT_FILES,
        output:
            stacks=update([f"<results>/stacks/{sample}.h5" for sample in samples]),
            audio=update([f"<results>/audio/{sample}.wav" for sample in samples]),
        log:
            f"<logs>/generate/{job}.log",
        benchmark:
            f"<benchmarks>/generate/{job}.tsv"
        conda:
            "../../envs/generate.yaml"
        resources:
            **needs(mb=MODEL_MB, minutes=30 if BATCH in ("pair", "prompt") else 120),
            gpu=1,
        params:
            study=config["study"],
            prompts=of_prompts(fields_of, prompts),
            model=LOADING,
            architecture=asdict(STUDY.architecture),
            capture=STUDY.capture,
            generation=SAMPLING,
            recordings=times_of(of_prompts(recordings_of, prompts)),
            job=how_a_job_runs,
            unfinished=APART,
        script:
            "../../scripts/generate.py"


rule index:
    """List all samples with their content hashes: the only link between stacks and analyses."""
    input:
        later(STACKS, sample=SAMPLES),
    output:
        "<results>/samples.tsv",
    resources:
        **needs(mb=1000, minutes=30),
    params:
        audio=f"{RESULTS}/audio",
        labels=own_labels,
        settings=settings_of_samples,
        unfinished=APART,
    script:
        "../../scripts/index.py"


rule all_samples:
    """All stacks, clips and the index. Ask for this target to remake removed ones."""
    input:
        later(STACKS, sample=SAMPLES),
        later(CLIPS, sample=SAMPLES),
        rules.index.output,


rule qc:
    """Check what must hold of every capture, and keep each measured value."""
    input:
        samples=rules.index.output[0],
    output:
        reported("qc/checks.tsv", "Capture", "qc", table="quality checks"),
    resources:
        **needs(mb=2000, minutes=60),
    script:
        "../../scripts/qc.py"


rule verify:
    """Prove the captures: replay a clip of each prompt, also by a second implementation; compose or encode one clip again."""
    input:
        recording=recordings_of(STUDY.prompts)[:1],
        samples=rules.index.output[0],
        checkpoint=CHECKPOINT_FILES,
    output:
        reported("qc/verification.tsv", "Capture", "qc", table="replay and regeneration"),
    conda:
        "../../envs/generate.yaml"
    resources:
        **needs(mb=VERIFY_MB, minutes=120),
        gpu=1,
    params:
        model=LOADING,
        generation=SAMPLING,
        witness=STUDY.witness,
    script:
        "../../scripts/verify.py"


rule gate:
    """Pass the samples on to the analyses if every check passed; else stop and name what failed."""
    input:
        samples=rules.index.output[0],
        checks=[rules.qc.output[0], rules.verify.output[0]],
    output:
        samples="<results>/qc/samples.tsv",
        summary=reported("qc/summary.tsv", "Capture", "qc", table="what was checked, and the worst of each"),
    resources:
        **needs(mb=500, minutes=10),
    params:
        expected=EXPECTED_CHECKS,
    script:
        "../../scripts/gate.py"


for number, seeds in enumerate(SEED_LISTS):

    rule:
        """Replay the clips of one prompt to record further layers and sites; nothing is generated."""
        name:
            copy_of("replay", number)
        input:
            checkpoint=CHECKPOINT_FILES,
            stacks=collect("<results>/stacks/{{prompt}}/seed-{seed}.h5", seed=seeds),
        output:
            collect("<results>/captures/{{capture}}/{{prompt}}/seed-{seed}.h5", seed=seeds),
        conda:
            "../../envs/generate.yaml"
        resources:
            **needs(mb=MODEL_MB, minutes=30),
            gpu=1,
        params:
            model=LOADING,
            capture=lookup("{capture}", within=STUDY.captures),
            samples=collect("{{prompt}}/seed-{seed}", seed=seeds),
        script:
            "../../scripts/replay.py"


rule design:
    """Draw the permutation table that all analyses share, and write what the design allows."""
    input:
        samples=rules.gate.output.samples,
    output:
        permutations="<results>/design/permutations.h5",
        summary=reported(
            "design/design.tsv", "Design", "design", table="blocks, folds, permutations, smallest p"
        ),
    resources:
        **needs(mb=1000, minutes=10),
    params:
        contrast=config["contrast"],
        statistics=STATISTICS,
    script:
        "../../scripts/design.py"


# The layers of each job have a copy of the rule.
for number, layers in enumerate(GRAM_JOBS):

    rule:
        """Read each layer of every stack once and keep sums of inner products per step and window, and means of windows and bins."""
        name:
            copy_of("gram", number)
        input:
            samples=rules.gate.output.samples,
        output:
            [f"<results>/gram/layer_{layer}.h5" for layer in layers.split("-")],
        log:
            f"<logs>/gram/layers_{layers}.log",
        benchmark:
            f"<benchmarks>/gram/layers_{layers}.tsv"
        resources:
            **needs(mb=GRAM_MB, minutes=minutes_of_a_job(GRAM_SECONDS)),
        params:
            layers=layers,
            bins=config["gram"]["bins"],
            steps_per_matrix=config["gram"]["steps_per_matrix"],
            pairs=config["gram"]["pairs"],
            site=SITE,
        script:
            "../../scripts/gram.py"


rule plot_diagnostics:
    """Draw why raw cosines are near 1: common mean, massive dimensions, deterministic cells."""
    input:
        grams=collect("<results>/gram/layer_{layer}.h5", layer=LAYERS),
    output:
        **figures("Capture", diagnostics="what a raw cosine would have seen"),
    log:
        "<logs>/<analysis>/plot.log",
    pathvars:
        analysis="diagnostics",
    resources:
        **needs(mb=1500, minutes=20),
    params:
        named=NAMED,
    script:
        "../../scripts/plot.py"


rule all_capture:
    """The study's captures and its further ones, all checked, and the Gram files."""
    input:
        # Not every stack and clip: each file that is listed takes time to plan, and the index lists them.
        rules.index.output,
        collect(
            "<results>/captures/{capture}/{sample}.h5",
            capture=STUDY.captures,
            sample=SAMPLES,
        ),
        outputs_of("capture"),

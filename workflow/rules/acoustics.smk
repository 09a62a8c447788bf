rule acoustics:
    """Measure the clips of one template: features of each clip and of each codec frame."""
    input:
        audio=audio_measured_together,
    output:
        clips="<results>/acoustics/clips/{clips}.tsv",
        frames="<results>/acoustics/frames/{clips}.nc",
    log:
        "<logs>/acoustics/{clips}.log",
    benchmark:
        "<benchmarks>/acoustics/{clips}.tsv"
    conda:
        "../../envs/acoustics.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=30,
    params:
        code=fingerprint("innerear.acoustics"),
        frame_rate=STUDY.architecture.frame_rate,
        samples=samples_measured_together,
    script:
        "../../scripts/acoustics.py"


rule clip_features:
    """Join the clip features of all samples, and list the files of their frame features."""
    input:
        samples=rules.gate.output.samples,
        clips=all_clip_features,
        frames=all_frame_features,
    output:
        clips=report(
            "<results>/acoustics/clips.tsv",
            caption="../report/acoustics.rst",
            category="Sound",
            labels={"table": "clip features"},
        ),
        validity=report(
            "<results>/acoustics/validity.tsv",
            caption="../report/validity.rst",
            category="Sound",
            labels={"table": "validity by emotion"},
        ),
        frames="<results>/acoustics/frames.tsv",
    log:
        "<logs>/clip_features.log",
    benchmark:
        "<benchmarks>/clip_features.tsv"
    conda:
        "../../envs/acoustics.yaml"
    resources:
        mem_mb=megabytes(1000),
        runtime=10,
    params:
        code=fingerprint("innerear.acoustics"),
    script:
        "../../scripts/clip_features.py"


rule plot_acoustics:
    """Draw the acoustic features by emotion, and all clips as mel spectrograms."""
    input:
        samples=rules.gate.output.samples,
        clips=rules.clip_features.output.clips,
        frames=rules.clip_features.output.frames,
    output:
        features=report(
            "<results>/figures/acoustic_features.svg",
            caption="../report/acoustics.rst",
            category="Sound",
            labels={"figure": "clip features by emotion"},
        ),
        features_png="<results>/figures/acoustic_features.png",
        spectrograms=report(
            "<results>/figures/spectrograms.svg",
            caption="../report/spectrograms.rst",
            category="Sound",
            labels={"figure": "mel spectrograms"},
        ),
        spectrograms_png="<results>/figures/spectrograms.png",
    log:
        "<logs>/plot_acoustics.log",
    benchmark:
        "<benchmarks>/plot_acoustics.tsv"
    conda:
        "../../envs/acoustics.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.acoustics"),
        sheet_code=fingerprint("innerear.figures.samples"),
        seconds=config["generation"]["duration"],
        model=MODEL,
    script:
        "../../scripts/plot_acoustics.py"


rule all_acoustics:
    """The acoustic features, measured and drawn."""
    input:
        rules.plot_acoustics.output,

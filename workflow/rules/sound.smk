rule acoustics:
    """Measure clips of some templates: features of each clip and of each codec frame."""
    input:
        audio=audio_measured_together,
    output:
        clips="<results>/acoustics/clips/{clips}.tsv",
        frames="<results>/acoustics/frames/{clips}.nc",
    conda:
        "../../envs/acoustics.yaml"
    resources:
        **needs(mb=ACOUSTICS_MB, minutes=10 + round(MEASURED_SECONDS / 60)),
    params:
        frame_rate=STUDY.architecture.frame_rate,
        samples=samples_measured_together,
    script:
        "../../scripts/acoustics.py"


rule clip_features:
    """Join the clip features of all samples, and list the files of their frame features."""
    input:
        samples=rules.gate.output.samples,
        clips=later("<results>/acoustics/clips/{clips}.tsv", clips=MEASURED),
        frames=later("<results>/acoustics/frames/{clips}.nc", clips=MEASURED),
    output:
        clips=reported("acoustics/clips.tsv", "Sound", "acoustics", table="clip features"),
        validity=reported("acoustics/validity.tsv", "Sound", "validity", table="validity by emotion"),
        frames="<results>/acoustics/frames.tsv",
    conda:
        "../../envs/acoustics.yaml"
    resources:
        **needs(mb=1000, minutes=10),
    script:
        "../../scripts/clip_features.py"


rule plot_acoustics:
    """Draw the acoustic features by emotion, and all clips as mel spectrograms."""
    input:
        samples=rules.gate.output.samples,
        clips=rules.clip_features.output.clips,
        frames=rules.clip_features.output.frames,
    output:
        **figures("Sound", acoustic_features="clip features by emotion", spectrograms="mel spectrograms"),
    log:
        "<logs>/<analysis>/plot.log",
    pathvars:
        analysis="acoustics",
    resources:
        **needs(mb=1500, minutes=20),
    params:
        named={**NAMED, "seconds": config["generation"]["duration"]},
    script:
        "../../scripts/plot.py"


rule audio_check:
    """Ask whether the audio itself differs between emotions: by feature, by contrast, and as a whole."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        clips=rules.clip_features.output.clips,
    output:
        verdict=reported("audio_check/verdict.tsv", "Sound", "audio_check", table="the verdict"),
        effects=reported(
            "audio_check/effects.tsv", "Sound", "audio_check", table="ANOVA and Hedges g by feature"
        ),
        classification=reported(
            "audio_check/classification.tsv", "Sound", "audio_check", table="classification from sound alone"
        ),
    conda:
        "../../envs/acoustics.yaml"
    resources:
        **needs(mb=2000, minutes=20),
    params:
        model=MODEL,
    script:
        "../../scripts/audio_check.py"


use rule plot_similarity as plot_audio_check with:
    input:
        effects=rules.audio_check.output.effects,
        verdict=rules.audio_check.output.verdict,
        validity=rules.clip_features.output.validity,
    output:
        **figures("Sound", audio_check="does the audio differ? The verdict, and effect sizes"),
    pathvars:
        analysis="audio_check",


use rule similarity as sound with:
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        grams=of_layers("<results>/gram/layer_{layer}.h5"),
        clips=rules.clip_features.output.clips,
    output:
        **results_of_layers(),
    pathvars:
        analysis="sound",
    resources:
        **needs(mb=GRAM_MB, minutes=minutes_of_a_job(SOUND_SECONDS)),


use rule similarity_map as sound_map with:
    input:
        **tables_of(SOUND_JOBS),
    output:
        mapped("Sound", "sound", "layer × acoustic feature, held-out R²"),
    pathvars:
        analysis="sound",


use rule plot_generalisation as plot_sound with:
    output:
        **figures(
            "Sound",
            sound="layer × acoustic feature, held-out R²",
            sound_beyond="layer × acoustic feature, beyond the label",
        ),
    pathvars:
        analysis="sound",


use rule sound as sound_and_label with:
    output:
        **results_of_layers(),
        dimensions="<results>/<analysis>/dimensions/layers_{layers}.tsv",
    pathvars:
        analysis="sound_and_label",


use rule similarity_map as sound_and_label_map with:
    input:
        **tables_of(SOUND_JOBS),
    output:
        mapped("Sound", "sound_and_label", "states from label and sound"),
    pathvars:
        analysis="sound_and_label",


use rule plot_similarity as plot_sound_and_label with:
    input:
        table="<results>/<analysis>/map.tsv",
        dimensions=of_all_layers("<results>/<analysis>/dimensions/layers_{layers}.tsv", SOUND_JOBS),
    output:
        **figures("Sound", sound_and_label="states from label and sound"),
    pathvars:
        analysis="sound_and_label",


rule lags:
    """Correlate states with the sound, frame by frame, at lags before and after; layer after layer."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        frames=rules.clip_features.output.frames,
    output:
        **results_of_layers(),
    pathvars:
        analysis="lags",
    conda:
        "../../envs/acoustics.yaml"
    resources:
        **needs(mb=GRAM_MB, minutes=minutes_of_a_job(SOUND_SECONDS)),
    params:
        model=MODEL,
        site=SITE,
    script:
        "../../scripts/lags.py"


use rule similarity_map as lags_map with:
    input:
        **tables_of(SOUND_JOBS),
    output:
        mapped("Sound", "lags", "layer × lag × feature"),
    pathvars:
        analysis="lags",


use rule plot_generalisation as plot_lags with:
    output:
        **figures("Sound", lags="states and sound, lag by lag"),
    pathvars:
        analysis="lags",


rule clips:
    """Make a page of all clips, ordered emotion → prompt → seed, each with a player."""
    input:
        samples=rules.gate.output.samples,
        clips=rules.clip_features.output.clips,
        frames=rules.clip_features.output.frames,
        grams=collect("<results>/gram/layer_{layer}.h5", layer=LAYERS),
    output:
        reported("listen.html", "Sound", "listen", page="the clips"),
    conda:
        "../../envs/acoustics.yaml"
    resources:
        **needs(mb=1500, minutes=20),
    params:
        heading=heading,
    script:
        "../../scripts/clips.py"


rule all_sound:
    """The clips, their sound, and how states and sound go together."""
    input:
        outputs_of("sound"),

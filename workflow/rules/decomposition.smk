rule decomposition:
    """Divide one layer's variance between text, history and their interaction, as one listener hears them."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        cells=rules.cells.output[0],
    output:
        table="<results>/decomposition/tables/{listener}/layer_{layer}.tsv",
        null="<results>/decomposition/nulls/{listener}/layer_{layer}.tsv",
    log:
        "<logs>/decomposition/{listener}/layer_{layer}.log",
    benchmark:
        "<benchmarks>/decomposition/{listener}/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(3000),
        runtime=60,
    params:
        code=fingerprint("innerear.analyses.text_or_history.decomposition"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/decomposition.py"


rule decomposition_map:
    """Join layers and listeners, and correct over the whole map."""
    input:
        tables=collect(
            "<results>/decomposition/tables/{listener}/layer_{layer}.tsv",
            listener=LISTENERS,
            layer=LAYERS,
        ),
        nulls=collect(
            "<results>/decomposition/nulls/{listener}/layer_{layer}.tsv",
            listener=LISTENERS,
            layer=LAYERS,
        ),
    output:
        report(
            "<results>/decomposition/map.tsv",
            caption="../report/text_or_history.rst",
            category="Text or history",
            labels={"table": "shares, layer × step"},
        ),
    log:
        "<logs>/decomposition_map.log",
    benchmark:
        "<benchmarks>/decomposition_map.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.text_or_history.decomposition"),
    script:
        "../../scripts/decomposition_map.py"


rule likelihood:
    """Compare the likelihood of every clip's codes under every text of its template."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        cells=rules.cells.output[0],
    output:
        report(
            "<results>/decomposition/likelihood/{listener}.tsv",
            caption="../report/likelihood_matrix.rst",
            category="Text or history",
            labels={"table": "likelihood of codes under texts, {listener}"},
        ),
    log:
        "<logs>/likelihood/{listener}.log",
    benchmark:
        "<benchmarks>/likelihood/{listener}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.text_or_history.likelihood"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/likelihood.py"


rule plot_decomposition:
    """Draw the shares of text and history, when one overtakes the other, and the likelihood under other texts."""
    input:
        map=rules.decomposition_map.output[0],
        likelihood=collect(
            "<results>/decomposition/likelihood/{listener}.tsv", listener=LISTENERS
        ),
    output:
        layers=report(
            "<results>/figures/text_or_history.svg",
            caption="../report/text_or_history.rst",
            category="Text or history",
            labels={"figure": "shares over the layers"},
        ),
        layers_png="<results>/figures/text_or_history.png",
        steps=report(
            "<results>/figures/text_or_history_steps.svg",
            caption="../report/text_or_history_steps.rst",
            category="Text or history",
            labels={"figure": "shares over the steps"},
        ),
        steps_png="<results>/figures/text_or_history_steps.png",
        maps=report(
            "<results>/figures/text_maps.svg",
            caption="../report/text_maps.rst",
            category="Text or history",
            labels={"figure": "maps, layer × step, and overtaking"},
        ),
        maps_png="<results>/figures/text_maps.png",
        probes=report(
            "<results>/figures/text_probes.svg",
            caption="../report/text_probes.rst",
            category="Text or history",
            labels={"figure": "one code for text and history?"},
        ),
        probes_png="<results>/figures/text_probes.png",
        likelihood=report(
            "<results>/figures/likelihood_matrix.svg",
            caption="../report/likelihood_matrix.rst",
            category="Text or history",
            labels={"figure": "likelihood of codes under texts"},
        ),
        likelihood_png="<results>/figures/likelihood_matrix.png",
    log:
        "<logs>/plot_decomposition.log",
    benchmark:
        "<benchmarks>/plot_decomposition.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.decomposition"),
        model=MODEL,
    script:
        "../../scripts/plot_decomposition.py"


rule all_decomposition:
    """Where the emotion in the states comes from: the text that is read, or the music so far."""
    input:
        rules.decomposition_map.output,
        rules.plot_decomposition.output,

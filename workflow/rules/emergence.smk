rule emergence:
    """Locate the onset of the label in one layer, judge its shape, and compare late with early."""
    input:
        samples=rules.gate.output.samples,
        design=rules.design.output.permutations,
        gram="<results>/gram/layer_{layer}.h5",
    output:
        table="<results>/emergence/tables/layer_{layer}.tsv",
        null="<results>/emergence/nulls/layer_{layer}.tsv",
        evidence="<results>/emergence/evidence/layer_{layer}.h5",
    log:
        "<logs>/emergence/layer_{layer}.log",
    benchmark:
        "<benchmarks>/emergence/layer_{layer}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=gram_mb,
        runtime=60,
    params:
        code=fingerprint("innerear.analyses.emergence"),
        model=MODEL,
        statistics=config["statistics"],
    script:
        "../../scripts/emergence.py"


rule emergence_map:
    """Join the layers and correct the interaction with time over them."""
    input:
        tables=collect("<results>/emergence/tables/layer_{layer}.tsv", layer=LAYERS),
        nulls=collect("<results>/emergence/nulls/layer_{layer}.tsv", layer=LAYERS),
    output:
        report(
            "<results>/emergence/map.tsv",
            caption="../report/emergence.rst",
            category="Emergence",
            labels={"table": "onsets, shapes, early against late"},
        ),
    log:
        "<logs>/emergence_map.log",
    benchmark:
        "<benchmarks>/emergence_map.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=20,
    params:
        code=fingerprint("innerear.analyses.emergence"),
    script:
        "../../scripts/emergence_map.py"


rule plot_emergence:
    """Draw evidence and onsets over the steps, and early against late."""
    input:
        map=rules.emergence_map.output[0],
        curves=rules.discriminability_map.output.map,
    output:
        curves=report(
            "<results>/figures/emergence.svg",
            caption="../report/emergence.rst",
            category="Emergence",
            labels={"figure": "evidence and onsets"},
        ),
        curves_png="<results>/figures/emergence.png",
        late=report(
            "<results>/figures/early_late.svg",
            caption="../report/early_late.rst",
            category="Emergence",
            labels={"figure": "first against last 10 % of steps"},
        ),
        late_png="<results>/figures/early_late.png",
    log:
        "<logs>/plot_emergence.log",
    benchmark:
        "<benchmarks>/plot_emergence.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.figures.emergence"),
        model=MODEL,
        contrast=config["contrast"],
    script:
        "../../scripts/plot_emergence.py"


rule all_emergence:
    """When labels emerge, and how."""
    input:
        rules.emergence_map.output,
        rules.plot_emergence.output,

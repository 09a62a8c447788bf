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
        code=fingerprint("innerear.statistics.design_file"),
        contrast=config["contrast"],
        statistics=config["statistics"],
    script:
        "../../scripts/design.py"


rule all_design:
    """What may be exchanged with what."""
    input:
        rules.design.output,

rule counterfactual:
    """Hear the clips of a template under every text of the template; keep the Gram of the cells, and likelihoods."""
    input:
        weights=WEIGHTS,
        samples=rules.gate.output.samples,
    output:
        # One folder of a file per layer: each file that is listed takes time to plan.
        directory("<results>/counterfactual/{listener}/{template}"),
    log:
        "<logs>/counterfactual/{listener}/{template}.log",
    benchmark:
        "<benchmarks>/counterfactual/{listener}/{template}.tsv"
    conda:
        "../../envs/generate.yaml"
    resources:
        gpu=1,
        mem_mb=counterfactual_mb,
        runtime=120,
    params:
        code=fingerprint("innerear.capture.counterfactual"),
        model=loading_of,
        texts=swapped_texts_of,
        layers=STUDY.layers,
        site=config["capture"]["sites"][0],
        keep_states=config["counterfactual"]["keep_states"],
        dtype=config["capture"]["dtype"],
        run=counterfactual_run,
    script:
        "../../scripts/counterfactual.py"


rule cells:
    """List the files of all templates as one listener heard them, layer by layer."""
    input:
        collect("<results>/counterfactual/{{listener}}/{template}", template=BLOCKS),
    output:
        "<results>/counterfactual/{listener}.tsv",
    log:
        "<logs>/cells/{listener}.log",
    benchmark:
        "<benchmarks>/cells/{listener}.tsv"
    conda:
        "../../envs/analysis.yaml"
    resources:
        mem_mb=megabytes(500),
        runtime=10,
    params:
        code=fingerprint("innerear.stacks"),
        layers=STUDY.layers,
    script:
        "../../scripts/cells.py"


rule listen_counterfactual:
    """Put the clips of the first template on a page, with their likelihood under every text of the template."""
    input:
        samples=rules.gate.output.samples,
        heard=collect(
            "<results>/counterfactual/model/{template}", template=EXAMPLE_BLOCK
        ),
        audio=audio_of_example,
    output:
        report(
            "<results>/counterfactual.html",
            caption="../report/listen_counterfactual.rst",
            category="Sound",
            labels={"page": "listen to clips under other texts"},
        ),
    log:
        "<logs>/listen_counterfactual.log",
    benchmark:
        "<benchmarks>/listen_counterfactual.tsv"
    conda:
        "../../envs/acoustics.yaml"
    resources:
        mem_mb=megabytes(1500),
        runtime=20,
    params:
        code=fingerprint("innerear.pages.counterfactual"),
        title=f"{config['study']}: {', '.join(EXAMPLE_BLOCK)}",
        model=MODEL,
    script:
        "../../scripts/listen_counterfactual.py"


rule all_counterfactual:
    """Every clip, heard under every text of its template, and some of them to listen to."""
    input:
        collect("<results>/counterfactual/{listener}.tsv", listener=LISTENERS),
        branch(bool(BLOCKS), then=rules.listen_counterfactual.output),

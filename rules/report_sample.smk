rule report_sample:
    """Make the page of a store, and its thumbnail."""
    input:
        store_to_report,
        source=made_source,
    output:
        page=report(PAGE, category="Samples", labels={"sample": "{sample}{label}"}),
        thumbnail=THUMBNAIL,
    log:
        "logs/{sample}{label}/report_sample.log",
    benchmark:
        "benchmarks/{sample}{label}/report_sample.tsv"
    wildcard_constraints:
        **WILDCARDS,
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=report_memory,
        runtime=plan.MIN_MINUTES,
    params:
        paths=paths,
        arguments=report_arguments,
    script:
        "../scripts/report_sample.py"


rule report:
    """Make the pages of all stores, and a list of them."""
    input:
        all_reports,
    output:
        INDEX,
    log:
        "logs/report.log",
    benchmark:
        "benchmarks/report.tsv"
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        paths=vars(RUN.paths("")),
        samples=list(SAMPLES),
    script:
        "../scripts/report.py"

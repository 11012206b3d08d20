rule verify_store:
    """Verify a published store, and write a report."""
    input:
        store_to_verify,
        source=made_source,
    output:
        VERIFY_RECEIPT,
    log:
        "logs/{sample}{label}/verify_store.log",
        report=REPORT,
    benchmark:
        "benchmarks/{sample}{label}/verify_store.tsv"
    wildcard_constraints:
        **WILDCARDS,
    priority: 5
    localrule: RUN.verify != "full"
    conda:
        "../envs/neurozarr.yaml"
    threads: plan.MAX_THREADS if RUN.verify == "full" else 1
    resources:
        mem_mb=verify_memory,
        runtime=verify_minutes,
    params:
        paths=paths,
        arguments=step_arguments("verify_store"),
        verify=RUN.verify,
    script:
        "../scripts/verify_store.py"


rule verify:
    """Verify all stores again."""
    input:
        all_verified,
    log:
        "logs/verify.log",
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        reports=files(RUN.paths(name).report for name in SAMPLES),
    script:
        "../scripts/verify.py"

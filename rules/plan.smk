rule plan:
    """Print what a run would do, and convert nothing."""
    input:
        planned_before,
    log:
        "logs/plan.log",
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: plan.MAX_THREADS
    resources:
        mem_mb=2 * plan.BASE_MEMORY_MB,
    params:
        run=plan_of_run,
    script:
        "../scripts/plan.py"

rule describe_dataset:
    """Write the description of a BIDS derivative at its top."""
    output:
        # `update` keeps Snakemake from deleting the record of what was written.
        update(DATASET),
    log:
        "logs/{folder}describe_dataset.log",
    benchmark:
        "benchmarks/{folder}describe_dataset.tsv"
    wildcard_constraints:
        **WILDCARDS,
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        paths=lambda wildcards: vars(RUN.derivative(wildcards.folder)),
        roots=lambda wildcards: RUN.datasets[wildcards.folder],
    script:
        "../scripts/describe_dataset.py"

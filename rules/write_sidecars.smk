rule write_sidecars:
    """Write the BIDS metadata of an image beside its store."""
    input:
        source=made_source,
    output:
        # `update` keeps Snakemake from deleting the record of what was written.
        update(SIDECARS),
    log:
        "logs/{sample}{label}/write_sidecars.log",
    benchmark:
        "benchmarks/{sample}{label}/write_sidecars.tsv"
    wildcard_constraints:
        **WILDCARDS,
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        paths=paths,
        arguments=step_arguments("write_sidecars"),
    script:
        "../scripts/write_sidecars.py"

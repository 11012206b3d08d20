rule write_base:
    """Write a block of level 0 from the source."""
    input:
        array=str(BASE.document),
        array_receipt=str(BASE.array_receipt),
        source=made_source,
    output:
        receipt=str(BASE.block_receipt("{block}")),
    log:
        "logs/{sample}{label}/write_base_{block}.log",
    benchmark:
        "benchmarks/{sample}{label}/write_base_{block}.tsv"
    wildcard_constraints:
        **WILDCARDS,
    priority: 1
    conda:
        "../envs/neurozarr.yaml"
    threads: block_threads
    resources:
        mem_mb=block_memory,
        runtime=block_minutes,
    params:
        paths=paths,
        arguments=step_arguments("write_base"),
    script:
        "../scripts/write_base.py"

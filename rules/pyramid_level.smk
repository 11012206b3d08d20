rule pyramid_level:
    """Write a block of a level from the level before it; all coarse levels at once."""
    input:
        parent=parent_array,
        parent_blocks=parent_blocks,
        array=own_array,
        source=made_source,
    output:
        receipt=BLOCK_RECEIPT,
    log:
        "logs/{sample}{label}/pyramid_level_{level}_{block}.log",
    benchmark:
        "benchmarks/{sample}{label}/pyramid_level_{level}_{block}.tsv"
    wildcard_constraints:
        **WILDCARDS | {"level": "[1-9][0-9]*"},
    priority: 2
    conda:
        "../envs/neurozarr.yaml"
    threads: block_threads
    resources:
        mem_mb=block_memory,
        runtime=block_minutes,
    params:
        paths=paths,
        arguments=step_arguments("pyramid_levels"),
    script:
        "../scripts/pyramid_level.py"

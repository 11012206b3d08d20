rule create_array:
    """Create the array of a level, without voxels."""
    input:
        base=base_receipt,
        source=made_source,
    output:
        # `update` keeps Snakemake from deleting the array before the script unpublishes the image.
        array=update(ARRAY),
        receipt=ARRAY_RECEIPT,
    log:
        "logs/{sample}{label}/create_array_{level}.log",
    benchmark:
        "benchmarks/{sample}{label}/create_array_{level}.tsv"
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
        arguments=step_arguments("create_array"),
    script:
        "../scripts/create_array.py"

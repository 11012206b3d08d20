rule ome_metadata:
    """Write the OME metadata; without a NIfTI header, this publishes the image."""
    input:
        arrays=each_array,
        array_receipts=each_array_receipt,
        block_receipts=each_block_receipt,
        source=made_source,
    output:
        [] if RUN.nii else GROUP,
        receipt=OME_RECEIPT,
    log:
        "logs/{sample}{label}/ome_metadata.log",
    benchmark:
        "benchmarks/{sample}{label}/ome_metadata.tsv"
    wildcard_constraints:
        **WILDCARDS,
    priority: 3
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        paths=paths,
        arguments=step_arguments("ome_metadata"),
    script:
        "../scripts/ome_metadata.py"

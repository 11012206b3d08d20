rule ome_metadata:
    input:
        arrays=each_level(ARRAY),
        array_receipts=each_level(ARRAY_RECEIPT),
        block_receipts=each_block,
    output:
        [] if RUN.nii else GROUP,
        receipt=OME_RECEIPT,
    log:
        "logs/{sample}/ome_metadata.log",
    benchmark:
        "benchmarks/{sample}/ome_metadata.tsv"
    priority: 3
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        blocks=lambda wildcards: [level.blocks for level in sample(wildcards).levels],
        attributes=lambda wildcards: sample(wildcards).attributes,
        channels=lambda wildcards: sample(wildcards).channels,
        publish=not RUN.nii,
        state=state_directory,
        driver=lambda wildcards: sample(wildcards).zarr.driver,
    script:
        "../scripts/ome_metadata.py"

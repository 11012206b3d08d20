rule pyramid_level:
    input:
        parent=parent(ARRAY),
        parent_receipt=parent(VOXELS_RECEIPT),
        array=ARRAY,
        array_receipt=ARRAY_RECEIPT,
    output:
        receipt=VOXELS_RECEIPT,
    log:
        "logs/{sample}/pyramid_level_{level}.log",
    benchmark:
        "benchmarks/{sample}/pyramid_level_{level}.tsv"
    wildcard_constraints:
        level="[1-9][0-9]*",
    conda:
        "../envs/neurozarr.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, threads: level(wildcards).memory_mb(threads),
    params:
        mode=lambda wildcards: sample(wildcards).mode,
        driver=lambda wildcards: sample(wildcards).zarr.driver,
    script:
        "../scripts/pyramid_level.py"

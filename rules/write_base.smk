rule write_base:
    input:
        source=source,
        array=expand(ARRAY, level=0, allow_missing=True),
        array_receipt=expand(ARRAY_RECEIPT, level=0, allow_missing=True),
    output:
        receipt=expand(VOXELS_RECEIPT, level=0, allow_missing=True),
    log:
        "logs/{sample}/write_base.log",
    benchmark:
        "benchmarks/{sample}/write_base.tsv"
    conda:
        "../envs/neurozarr.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, threads: sample(wildcards).base_memory_mb(threads),
    params:
        path=lambda wildcards: str(sample(wildcards).path),
        axes=lambda wildcards: sample(wildcards).axes,
        driver=lambda wildcards: sample(wildcards).zarr.driver,
    script:
        "../scripts/write_base.py"

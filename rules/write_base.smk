rule write_base:
    input:
        array=expand(ARRAY, level=0, allow_missing=True),
        array_receipt=expand(ARRAY_RECEIPT, level=0, allow_missing=True),
    output:
        receipt=expand(BLOCK_RECEIPT, level=0, allow_missing=True),
    log:
        "logs/{sample}/write_base_{block}.log",
    benchmark:
        "benchmarks/{sample}/write_base_{block}.tsv"
    priority: 1
    conda:
        "../envs/neurozarr.yaml"
    threads: block_threads
    resources:
        mem_mb=lambda wildcards, threads, attempt: (
            attempt * sample(wildcards).memory_mb(0, threads)
        ),
        runtime=block_minutes,
    params:
        path=lambda wildcards: sample(wildcards).path,
        layout=lambda wildcards: sample(wildcards).layout,
        slab=slab,
        region=lambda wildcards: region(wildcards, 0),
        state=state_directory,
        driver=lambda wildcards: sample(wildcards).zarr.driver,
    script:
        "../scripts/write_base.py"

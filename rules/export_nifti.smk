rule export_nifti:
    input:
        header=HEADER,
        array=ARRAY,
        blocks=blocks_to_export,
    output:
        EXPORT,
    log:
        "logs/{sample}/export_nifti_{level}.log",
    benchmark:
        "benchmarks/{sample}/export_nifti_{level}.tsv"
    conda:
        "../envs/neurozarr.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: attempt * sample(wildcards).export_memory_mb,
        runtime=lambda wildcards, attempt: attempt * level(wildcards).export_minutes,
    params:
        receipt=EXPORT_RECEIPT,
        driver=lambda wildcards: sample(wildcards).zarr.driver,
    script:
        "../scripts/export_nifti.py"

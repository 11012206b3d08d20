rule nifti_header:
    input:
        array_receipt=expand(ARRAY_RECEIPT, level=0, allow_missing=True),
        ome_receipt=OME_RECEIPT,
    output:
        GROUP if RUN.nii else [],
        header=HEADER,
        receipt=HEADER_RECEIPT,
    log:
        "logs/{sample}/nifti_header.log",
    benchmark:
        "benchmarks/{sample}/nifti_header.tsv"
    priority: 4
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        path=lambda wildcards: sample(wildcards).path,
        overrides=lambda wildcards: sample(wildcards).overrides,
        options=lambda wildcards: sample(wildcards).header_options,
        driver=lambda wildcards: sample(wildcards).zarr.driver,
        state=state_directory,
    script:
        "../scripts/nifti_header.py"

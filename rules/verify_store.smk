rule verify_store:
    input:
        arrays=each_level(ARRAY),
        array_receipts=each_level(ARRAY_RECEIPT),
        block_receipts=each_block,
        group=GROUP,
        ome_receipt=OME_RECEIPT,
        header=HEADER if RUN.nii else [],
        header_receipt=HEADER_RECEIPT if RUN.nii else [],
    output:
        VERIFIED,
    log:
        "logs/{sample}/verify_store.log",
        report=REPORT,
    benchmark:
        "benchmarks/{sample}/verify_store.tsv"
    priority: 5
    localrule: RUN.verify != "full"
    conda:
        "../envs/neurozarr.yaml"
    threads: plan.MAX_THREADS if RUN.verify == "full" else 1
    resources:
        mem_mb=lambda wildcards, threads, attempt: (
            attempt * sample(wildcards).verify_memory_mb(RUN.verify, threads)
        ),
        runtime=lambda wildcards, threads, attempt: (
            attempt * sample(wildcards).verify_minutes(RUN.verify, threads)
        ),
    params:
        source=lambda wildcards: {
            "path": sample(wildcards).path,
            "layout": sample(wildcards).layout,
            "slab": sample(wildcards).levels[0].slab,
        },
        planned=lambda wildcards: sample(wildcards).planned,
        blocks=lambda wildcards: [level.blocks for level in sample(wildcards).levels],
        verify=RUN.verify,
        claim=state_directory,
        driver=lambda wildcards: sample(wildcards).zarr.driver,
    script:
        "../scripts/verify_store.py"


rule verify:
    input:
        all_verified,
    log:
        "logs/verify.log",
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        reports=expand(REPORT, sample=SAMPLES),
    script:
        "../scripts/verify.py"

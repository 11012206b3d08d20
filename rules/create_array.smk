rule create_array:
    input:
        base=lambda wildcards: (
            []
            if wildcards.level == "0"
            else expand(ARRAY_RECEIPT, sample=wildcards.sample, level=0)
        ),
    output:
        # Marked as updated, so that it stays until the script has unpublished the image.
        array=update(ARRAY),
        receipt=ARRAY_RECEIPT,
    log:
        "logs/{sample}/create_array_{level}.log",
    benchmark:
        "benchmarks/{sample}/create_array_{level}.tsv"
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        document=lambda wildcards: level(wildcards).document,
        recipe=recipe,
        source=source_of_level,
        state=state_directory,
    script:
        "../scripts/create_array.py"

rule nifti_header:
    """Write the NIfTI header, and publish the image."""
    input:
        array_receipt=str(BASE.array_receipt),
        ome_receipt=OME_RECEIPT,
        source=made_source,
    output:
        GROUP if RUN.nii else [],
        header=HEADER,
        receipt=HEADER_RECEIPT,
    log:
        "logs/{sample}{label}/nifti_header.log",
    benchmark:
        "benchmarks/{sample}{label}/nifti_header.tsv"
    wildcard_constraints:
        **WILDCARDS,
    priority: 4
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        paths=paths,
        arguments=step_arguments("nifti_header"),
    script:
        "../scripts/nifti_header.py"

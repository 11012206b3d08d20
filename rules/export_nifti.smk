rule export_nifti:
    """Write a level of a store as .nii.gz."""
    input:
        level_to_export,
        source=made_source,
    output:
        EXPORT,
    log:
        "logs/{sample}{label}/export_nifti_{level}.log",
    benchmark:
        "benchmarks/{sample}{label}/export_nifti_{level}.tsv"
    wildcard_constraints:
        **WILDCARDS,
    conda:
        "../envs/neurozarr.yaml"
    threads: 2
    resources:
        mem_mb=export_memory,
        runtime=export_minutes,
    params:
        paths=paths,
        arguments=step_arguments("export_nifti"),
    script:
        "../scripts/export_nifti.py"

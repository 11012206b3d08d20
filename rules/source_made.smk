checkpoint source_made:
    """Note that a source which a rule of another workflow makes is there."""
    input:
        lambda wildcards: made_files(name_of(wildcards)),
    output:
        SOURCE_RECEIPT,
    log:
        "logs/{sample}{label}/source_made.log",
    wildcard_constraints:
        **WILDCARDS,
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        # A parameter that depends on the output is not among those that Snakemake compares.
        digest=lambda wildcards, output: made.digest(SAMPLES[name_of(wildcards)], RUN),
    shell:
        "printf %s {params.digest} > {output:q} 2> {log:q}"

rule convert_bundle:
    """Convert and verify several small samples."""
    input:
        made_members,
    output:
        BUNDLE,
    log:
        "logs/bundle_{bundle}.log",
    benchmark:
        "benchmarks/bundle_{bundle}.tsv"
    wildcard_constraints:
        **WILDCARDS,
    conda:
        "../envs/neurozarr.yaml"
    threads: bundle_threads
    resources:
        mem_mb=bundle_memory,
        runtime=bundle_minutes,
    params:
        samples=bundle_samples,
        run=vars(RUN),
        redo=lambda wildcards: Bundle.from_name(wildcards.bundle).redo,
        pages=lambda wildcards: Bundle.from_name(wildcards.bundle).pages,
    script:
        "../scripts/convert_bundle.py"

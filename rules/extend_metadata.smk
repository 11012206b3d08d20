rule extend_metadata:
    """Add levels to the metadata of an image of others, which publishes them."""
    input:
        added_levels,
    output:
        str(IN_PLACE.ome_receipt),
    log:
        "logs/{sample}{label}/extend_metadata.log",
    benchmark:
        "benchmarks/{sample}{label}/extend_metadata.tsv"
    wildcard_constraints:
        **WILDCARDS,
    priority: 3
    localrule: True
    conda:
        "../envs/neurozarr.yaml"
    threads: 1
    resources:
        mem_mb=plan.BASE_MEMORY_MB,
    params:
        paths=paths,
        arguments=step_arguments("extend_metadata"),
    script:
        "../scripts/extend_metadata.py"


# The other steps, for images of others. Snakemake deletes the output of a job that fails, so that
# only receipts are output, and no file of the image.


use rule create_array as create_array_in_place with:
    input:
        base=[],
        source=made_source,
    output:
        receipt=str(IN_PLACE_LEVEL.array_receipt),


use rule pyramid_level as pyramid_level_in_place with:
    input:
        parent=added_parent,
        array=added_array,
    output:
        receipt=str(IN_PLACE_LEVEL.block_receipt("{block}")),


use rule verify_store as verify_store_in_place with:
    input:
        str(IN_PLACE.ome_receipt),
    output:
        str(IN_PLACE.verify_receipt),

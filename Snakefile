from snakemake.utils import min_version

min_version("9.27")


# With `--software-deployment-method conda`, planning has its packages from here too, not only jobs.
# Snakemake opens the file of a rule anywhere, but this one only if it is on this machine.
conda: workflow.source_path("envs/neurozarr.yaml")


if Path("config/config.yaml").exists():

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/bundles.smk"


rule all:
    """Convert all samples, and verify their stores."""
    input:
        all_bundles,
        all_images,
        all_arrays,
        all_verify_receipts,


rule export:
    """Write levels of all stores as .nii.gz."""
    input:
        all_exports,


include: "rules/convert_bundle.smk"
include: "rules/create_array.smk"
include: "rules/write_base.smk"
include: "rules/pyramid_level.smk"
include: "rules/ome_metadata.smk"
include: "rules/nifti_header.smk"
include: "rules/verify_store.smk"
include: "rules/export_nifti.smk"

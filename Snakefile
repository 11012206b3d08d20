from snakemake.utils import min_version

min_version("9.27")


if Path("config/config.yaml").exists():

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/bundles.smk"
include: "rules/screen.smk"


rule all:
    input:
        all_bundles,
        all_images,
        all_arrays,
        all_verify_receipts,


rule export:
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

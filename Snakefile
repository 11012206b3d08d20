from snakemake.utils import min_version

min_version("9.27")


# Whether no other Snakefile uses this one.
IS_MAIN = len(workflow.included_stack) == 1
# Whether another Snakefile includes this one: then they share their names and their configuration.
IS_INCLUDED = workflow.modifier.is_main_snakefile() and not IS_MAIN
NAMES_BEFORE = dict(globals())

if not IS_INCLUDED and Path("config/config.yaml").exists():

    configfile: "config/config.yaml"


include: "rules/module.smk"
include: "rules/common.smk"
include: "rules/bundles.smk"


if not IS_INCLUDED:

    rule all:
        input:
            all_stores,


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


NAMES = new_names(NAMES_BEFORE) if IS_INCLUDED else {}

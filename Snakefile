import os

from snakemake.utils import min_version

min_version("9.27")


# With `--software-deployment-method conda`, planning has its packages from here, as jobs have.
# Snakemake opens this file, unlike that of a rule, only if it is on this machine.
conda: workflow.source_path("envs/neurozarr.yaml")


# Whether no other Snakefile uses this one; workflow/Snakefile is this one in another place.
OTHER_PLACE = os.path.normpath(str(workflow.current_basedir.join("workflow/Snakefile")))
IS_MAIN = 1 == sum(
    os.path.normpath(str(file)) != OTHER_PLACE for file in workflow.included_stack
)
# Whether another Snakefile includes this one: then they share their names and their configuration.
IS_INCLUDED = workflow.modifier.is_main_snakefile() and not IS_MAIN
NAMES_BEFORE = dict(globals())

if not IS_INCLUDED and Path("config/config.yaml").exists():

    configfile: "config/config.yaml"


include: "rules/module.smk"
include: "rules/common.smk"
include: "rules/made.smk"
include: "rules/planning.smk"
include: "rules/parameters.smk"
include: "rules/inputs.smk"
include: "rules/targets.smk"
include: "rules/bundles.smk"
include: "rules/preview.smk"
include: "rules/start.smk"
include: "rules/record.smk"
include: "rules/screen.smk"


if not IS_INCLUDED:

    rule all:
        """Convert all samples, and verify their stores."""
        input:
            all_stores,


rule export:
    """Write levels of all stores as .nii.gz."""
    input:
        all_exports,


include: "rules/plan.smk"
include: "rules/source_made.smk"
include: "rules/convert_bundle.smk"
include: "rules/create_array.smk"
include: "rules/write_base.smk"
include: "rules/pyramid_level.smk"
include: "rules/ome_metadata.smk"
include: "rules/nifti_header.smk"
include: "rules/write_sidecars.smk"
include: "rules/describe_dataset.smk"
include: "rules/verify_store.smk"
include: "rules/export_nifti.smk"
include: "rules/report_sample.smk"
include: "rules/extend_metadata.smk"


NAMES = new_names(NAMES_BEFORE) if IS_INCLUDED else {}

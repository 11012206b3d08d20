from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths
from neurozarr.steps.export_nifti import export_nifti

with logged(snakemake.log[0]):
    export_nifti(
        StorePaths(**snakemake.params.paths),
        int(snakemake.wildcards.level),
        **snakemake.params.arguments,
        threads=snakemake.threads,
    )

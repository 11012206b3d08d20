from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths
from neurozarr.steps.nifti_header import publish_header

with logged(snakemake.log[0]):
    publish_header(StorePaths(**snakemake.params.paths), **snakemake.params.arguments)

from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths
from neurozarr.steps.extend_metadata import extend_metadata

with logged(snakemake.log[0]):
    extend_metadata(StorePaths(**snakemake.params.paths), **snakemake.params.arguments)

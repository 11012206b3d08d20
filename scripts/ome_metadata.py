from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths
from neurozarr.steps.ome_metadata import make_metadata

with logged(snakemake.log[0]):
    make_metadata(StorePaths(**snakemake.params.paths), **snakemake.params.arguments)

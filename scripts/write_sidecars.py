from neurozarr.run import sidecars
from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths

with logged(snakemake.log[0]):
    sidecars.write(StorePaths(**snakemake.params.paths), **snakemake.params.arguments)

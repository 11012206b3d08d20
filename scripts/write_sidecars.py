from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths
from neurozarr.steps.write_sidecars import write_sidecars

with logged(snakemake.log[0]):
    write_sidecars(StorePaths(**snakemake.params.paths), **snakemake.params.arguments)

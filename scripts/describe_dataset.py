from neurozarr.run import sidecars
from neurozarr.run.joblog import logged
from neurozarr.run.paths import DatasetPaths

with logged(snakemake.log[0]):
    paths = DatasetPaths(output=snakemake.params.output, folder=snakemake.wildcards.folder)
    sidecars.write(paths, snakemake.params.texts)

from neurozarr.report.index import write_index
from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths

with logged(snakemake.log[0]):
    write_index(StorePaths(**snakemake.params.paths), {}, samples=snakemake.params.samples)

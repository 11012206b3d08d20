from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths
from neurozarr.steps.create_array import create_array

with logged(snakemake.log[0]):
    create_array(
        StorePaths(**snakemake.params.paths),
        int(snakemake.wildcards.level),
        **snakemake.params.arguments,
    )

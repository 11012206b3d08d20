from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths
from neurozarr.steps.pyramid_level import write_levels

with logged(snakemake.log[0]):
    write_levels(
        StorePaths(**snakemake.params.paths),
        **snakemake.params.arguments,
        threads=snakemake.threads,
    )

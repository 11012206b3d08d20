from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths
from neurozarr.steps.pyramid_level import write_level

with logged(snakemake.log[0]):
    write_level(
        StorePaths(**snakemake.params.paths),
        int(snakemake.wildcards.level),
        int(snakemake.wildcards.block),
        **snakemake.params.arguments,
        threads=snakemake.threads,
    )

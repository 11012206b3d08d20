from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths
from neurozarr.steps.write_base import write_base

with logged(snakemake.log[0]):
    write_base(
        StorePaths(**snakemake.params.paths),
        int(snakemake.wildcards.block),
        **snakemake.params.arguments,
        threads=snakemake.threads,
    )

from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths
from neurozarr.steps.verify_store import verify_store

with logged(snakemake.log[0]):
    verify_store(
        StorePaths(**snakemake.params.paths),
        verify=snakemake.params.verify,
        **snakemake.params.arguments,
        threads=snakemake.threads,
    )

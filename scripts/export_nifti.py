from pathlib import Path

from neurozarr.run.joblog import logged
from neurozarr.steps.export_nifti import export_nifti

with logged(snakemake.log[0]):
    export_nifti(
        Path(snakemake.input.header[0]).parent.parent,
        int(snakemake.wildcards.level),
        Path(snakemake.output[0]),
        receipt=Path(snakemake.params.receipt),
        driver=snakemake.params.driver,
        threads=snakemake.threads,
    )

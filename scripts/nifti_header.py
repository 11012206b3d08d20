from pathlib import Path

from neurozarr.joblog import logged
from neurozarr.steps.nifti_header import publish_header

with logged(snakemake.log[0]):
    publish_header(
        snakemake.params.path,
        Path(snakemake.output[0]).parent.parent,
        array_receipt=Path(snakemake.input.array_receipt[0]),
        overrides=snakemake.params.overrides,
        options=snakemake.params.options,
        driver=snakemake.params.driver,
        staging=Path(snakemake.params.staging),
        receipt=Path(snakemake.output.receipt),
    )

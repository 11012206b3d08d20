from pathlib import Path

from neurozarr.run.joblog import logged
from neurozarr.steps.nifti_header import publish_header

with logged(snakemake.log[0]):
    publish_header(
        snakemake.params.path,
        Path(snakemake.output.header[0]).parent.parent,
        state=Path(snakemake.params.state),
        array_receipt=Path(snakemake.input.array_receipt[0]),
        ome_receipt=Path(snakemake.input.ome_receipt),
        overrides=snakemake.params.overrides,
        options=snakemake.params.options,
        driver=snakemake.params.driver,
        receipt=Path(snakemake.output.receipt),
    )

from pathlib import Path

from neurozarr.joblog import logged
from neurozarr.steps.ome_metadata import publish_image

with logged(snakemake.log[0]):
    publish_image(
        Path(snakemake.output[0]).parent,
        snakemake.params.attributes,
        levels=[
            (Path(array), Path(array_receipt), Path(voxels_receipt))
            for array, array_receipt, voxels_receipt in zip(
                snakemake.input.arrays,
                snakemake.input.array_receipts,
                snakemake.input.voxels_receipts,
                strict=True,
            )
        ],
    )

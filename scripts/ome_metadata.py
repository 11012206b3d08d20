from itertools import islice
from pathlib import Path

from neurozarr.joblog import logged
from neurozarr.steps.ome_metadata import publish_image

block_receipts = (Path(receipt) for receipt in snakemake.input.block_receipts)

with logged(snakemake.log[0]):
    publish_image(
        Path(snakemake.output[0]).parent,
        snakemake.params.attributes,
        levels=[
            (Path(array), Path(receipt), list(islice(block_receipts, blocks)))
            for array, receipt, blocks in zip(
                snakemake.input.arrays,
                snakemake.input.array_receipts,
                snakemake.params.blocks,
                strict=True,
            )
        ],
        channels=snakemake.params.channels,
        driver=snakemake.params.driver,
    )

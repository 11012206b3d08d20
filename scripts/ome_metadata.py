from itertools import islice
from pathlib import Path

from neurozarr.run.joblog import logged
from neurozarr.steps.ome_metadata import make_metadata

block_receipts = (Path(receipt) for receipt in snakemake.input.block_receipts)

with logged(snakemake.log[0]):
    make_metadata(
        Path(snakemake.input.arrays[0]).parent.parent,
        snakemake.params.attributes,
        state=Path(snakemake.params.state),
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
        receipt=Path(snakemake.output.receipt),
        publish=snakemake.params.publish,
    )

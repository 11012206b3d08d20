from itertools import islice
from pathlib import Path

from neurozarr.run.joblog import logged
from neurozarr.steps.verify_store import verify_store
from neurozarr.verify.metadata import Planned

block_receipts = (Path(receipt) for receipt in snakemake.input.block_receipts)

with logged(snakemake.log[0]):
    verify_store(
        Path(snakemake.input.group[0]).parent,
        Planned(**snakemake.params.planned),
        levels=[
            (Path(array), Path(receipt), list(islice(block_receipts, blocks)))
            for array, receipt, blocks in zip(
                snakemake.input.arrays,
                snakemake.input.array_receipts,
                snakemake.params.blocks,
                strict=True,
            )
        ],
        source=snakemake.params.source,
        header_receipt=Path(receipt) if (receipt := snakemake.input.header_receipt) else None,
        verify=snakemake.params.verify,
        driver=snakemake.params.driver,
        threads=snakemake.threads,
        report=Path(snakemake.log.report),
        receipt=Path(snakemake.output[0]),
        claim=Path(snakemake.params.claim),
    )

from pathlib import Path

from neurozarr.run.joblog import logged
from neurozarr.steps.pyramid_level import write_level

with logged(snakemake.log[0]):
    write_level(
        Path(snakemake.input.parent[0]),
        Path(snakemake.input.array),
        parent_blocks=[Path(receipt) for receipt in snakemake.input.parent_blocks],
        region=tuple(slice(start, stop) for start, stop in snakemake.params.region),
        mode=snakemake.params.mode,
        driver=snakemake.params.driver,
        threads=snakemake.threads,
        state=Path(snakemake.params.state),
        array_receipt=Path(snakemake.input.array_receipt),
        receipt=Path(snakemake.output.receipt),
    )

from pathlib import Path

from neurozarr.run.joblog import logged
from neurozarr.steps.write_base import write_base

with logged(snakemake.log[0]):
    write_base(
        snakemake.params.path,
        Path(snakemake.input.array[0]),
        region=tuple(slice(start, stop) for start, stop in snakemake.params.region),
        layout=snakemake.params.layout,
        slab=snakemake.params.slab,
        driver=snakemake.params.driver,
        threads=snakemake.threads,
        state=Path(snakemake.params.state),
        array_receipt=Path(snakemake.input.array_receipt[0]),
        receipt=Path(snakemake.output.receipt[0]),
    )

from pathlib import Path

from neurozarr.joblog import logged
from neurozarr.steps import create_array

with logged(snakemake.log[0]):
    create_array(
        Path(snakemake.output.array).parent,
        snakemake.params.document,
        receipt=Path(snakemake.output.receipt),
    )

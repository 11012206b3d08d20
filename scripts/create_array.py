from pathlib import Path

from neurozarr.run.joblog import logged
from neurozarr.steps.create_array import create_array

with logged(snakemake.log[0]):
    create_array(
        Path(snakemake.output.array).parent,
        snakemake.params.document,
        state=Path(snakemake.params.state),
        receipt=Path(snakemake.output.receipt),
        recipe=snakemake.params.recipe,
        source=[Path(file) for file in snakemake.params.source],
    )

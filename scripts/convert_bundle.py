import os
from pathlib import Path

from neurozarr.run.joblog import logged
from neurozarr.samples.sample import Sample
from neurozarr.samples.settings import RunSettings
from neurozarr.steps.convert_bundle import convert_bundle

with logged(snakemake.log[0]):
    convert_bundle(
        [Sample(**fields) for fields in snakemake.params.samples],
        RunSettings(**snakemake.params.run),
        log=lambda name: Path(snakemake.log[0]).parent / name / "convert.log",
        redo=snakemake.params.redo,
        pages=snakemake.params.pages,
        directory=os.getcwd(),
        threads=snakemake.threads,
        partial=Path(f"{snakemake.output[0]}.partial.json"),
    )
    Path(snakemake.output[0]).touch()

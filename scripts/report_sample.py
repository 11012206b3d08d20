from pathlib import Path

from neurozarr.run.benchmarks import folder_of
from neurozarr.run.joblog import logged
from neurozarr.run.paths import StorePaths
from neurozarr.steps.report_sample import report_sample

with logged(snakemake.log[0]):
    name = snakemake.wildcards.sample + snakemake.wildcards.label
    report_sample(
        StorePaths(**snakemake.params.paths),
        benchmarks_in=str(folder_of(Path(snakemake.log[0]), name)),
        **snakemake.params.arguments,
    )

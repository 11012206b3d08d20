from neurozarr.run.joblog import logged
from neurozarr.run.paths import DatasetPaths
from neurozarr.steps.describe_dataset import describe_dataset

with logged(snakemake.log[0]):
    describe_dataset(DatasetPaths(**snakemake.params.paths), roots=snakemake.params.roots)

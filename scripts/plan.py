import sys

from neurozarr.run.joblog import logged
from neurozarr.steps.plan import describe_run

with logged(snakemake.log[0]):
    text, fits = describe_run(**snakemake.params.run, threads=snakemake.threads)
print(text)
sys.exit(not fits)

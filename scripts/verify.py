from pathlib import Path

from neurozarr.run.joblog import logged
from neurozarr.steps.verify_store import summarize

with logged(snakemake.log[0]):
    print(summarize([Path(report) for report in snakemake.params.reports]))

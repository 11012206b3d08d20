# Shared by all rules: the library, the samples of this run, and patterns of file names.

import logging
import os
import shlex
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

STARTED = time.monotonic()

sys.path.insert(0, library())

try:
    from neurozarr import plan
    from neurozarr.bids import description
    from neurozarr.errors import ClaimError, NeurozarrError, SourceError
    from neurozarr.report import page_records
    from neurozarr.run import claims, extending, memory, ownership, publishing, sidecars
    from neurozarr.run.notices import Notices
    from neurozarr.run.paths import Place, coarse_levels
    from neurozarr.samples import arguments, estimates, rerun
    from neurozarr.samples.config_file import check_config_file
    from neurozarr.samples.names import explanations
    from neurozarr.samples.places import check_case
    from neurozarr.samples.reading import read_run
except ModuleNotFoundError as error:
    sys.exit(
        f"neurozarr: Snakemake runs in an environment without {error.name}: add "
        "--software-deployment-method conda, or install the packages of neurozarr there (README.md)"
    )

from snakemake.logging import logger

# The directory also has scripts, whose names others may have. Snakemake itself gives it to scripts
# that are local files, and to others what is on the path.
LIBRARY = sys.path.pop(0)
if not workflow.current_basedir.is_local:
    sys.path.append(LIBRARY)


def set_environment():
    """Set environment variables of jobs, unless the user has."""
    for name, value in memory.ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # NumPy's BLAS would start one thread per processor in every job, but no job uses BLAS.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


# The jobs of others may be better off without.
if IS_MAIN:
    set_environment()

# The library's warnings while the run is planned; jobs have them in their logs.
NOTICES = Notices(logger.warning)
if IS_MAIN and workflow.is_main_process:
    logging.getLogger("neurozarr").addHandler(NOTICES)
    logging.getLogger("neurozarr").propagate = False

# Snakemake itself would end with a traceback.
if IS_MAIN and workflow.is_main_process:
    if not os.access(".snakemake" if os.path.exists(".snakemake") else ".", os.W_OK):
        sys.exit(
            f"neurozarr: {os.getcwd()} cannot be written, where Snakemake keeps the records of a "
            "run (.snakemake) and logs: run in another directory, with paths of sources from there"
        )

# Why samples are not known yet.
ABSENT = []
try:
    # Those of another workflow are its own.
    for file in workflow.configfiles if IS_MAIN and workflow.is_main_process else []:
        check_config_file(file)
    # Sources need not exist: a rule may make them, or the run may not need them.
    RUN, SAMPLES = read_run(config, absent=ABSENT, files=workflow.configfiles)
except NeurozarrError as error:
    sys.exit(f"neurozarr: {error}")
RUN = replace(RUN, output=with_prefix(RUN.output))
if config.get("source") and workflow.is_main_process:
    for line in explanations(SAMPLES.values()):
        logger.info(line)


# Patterns of a sample's output files. A label lies beneath its image: {label} is then its path from
# the image's store, such as /labels/cells, and otherwise empty.
PATHS = replace(RUN.paths("{sample}"), label="{label}")
LEVEL = PATHS.level("{level}")
ARRAY = str(LEVEL.document)
ARRAY_RECEIPT = str(LEVEL.array_receipt)
BLOCK_RECEIPT = str(LEVEL.block_receipt("{block}"))
BASE = PATHS.level(0)
GROUP = [str(file) for file in PATHS.group]
HEADER = [str(file) for file in PATHS.header]
OME_RECEIPT = str(PATHS.ome_receipt)
HEADER_RECEIPT = str(PATHS.header_receipt)
VERIFY_RECEIPT = str(PATHS.verify_receipt)
SOURCE_RECEIPT = str(PATHS.source_receipt)
SIDECARS = str(PATHS.sidecar_receipt)
DATASET = str(RUN.derivative("{folder}").sidecar_receipt)
REPORT = without_prefix(PATHS.report)
EXPORT = str(PATHS.export("{level}"))
PAGE = str(PATHS.page)
THUMBNAIL = str(PATHS.thumbnail)
INDEX = str(PATHS.index)
# An image of others, to which levels are added: the wildcards do not tell its directory.
IN_PLACE = replace(PATHS, nii=False, place=Place(group="", names=("0",)))
IN_PLACE_LEVEL = IN_PLACE.level("{level}")
BUNDLE = str(PATHS.state.parent / "bundle-{bundle}")


# Whether stores are in directories below the output: otherwise, names of samples match none, so that
# the output of one module may lie within that of another.
HAS_FOLDERS = any("/" in (one.image or one.name) for one in SAMPLES.values())

# Not for all rules, because others may have other wildcards of the same names.
WILDCARDS = {
    "sample": "(?:[^/.][^/]*/)*[^/]+" if HAS_FOLDERS else "[^/]+",
    "folder": "(?:[^/.][^/]*/)*",
    "label": "(?:/labels/[^/]+)?",
    "level": "[0-9]+",
    "block": "[0-9]+",
    "bundle": "[0-9a-z-]+",
}

"""What the rules use of Snakemake beyond its documented interface, and its versions.

Runs test the use of the plan: forced files in workflow/test_records.py, forced rules and targets
in workflow/test_verify.py, the jobs of a run in workflow/test_concurrency.py.
"""

import inspect
import re

import snakemake
import snakemake.api  # Before its workflow, or they import each other.
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.workflow import Workflow

PRIVATE = {
    "dag.needrun_jobs": "workflow/test_concurrency.py",
    "dag.jobs": "workflow/test_module.py",
    "dag.output_index": "workflow/test_made.py",
    "checkpoint_target": "workflow/test_made.py",
    "IncompleteCheckpointException": "workflow/test_made.py",
    "dag.forcefiles": "workflow/test_records.py",
    "dag.forcerules": "workflow/test_verify.py",
    "dag_settings.targets": "workflow/test_verify.py",
    "dag_settings.forceall": "workflow/test_bundles.py",
    "dag_settings.forcerun": "workflow/test_bundles.py",
    "dag_settings.until": "workflow/test_dicom.py",
    "dag_settings.omit_from": "workflow/test_dicom.py",
    "dag_settings.batch": "workflow/test_bundles.py",
    "scheduler.job_rate_limiter": "unit/test_snakemake.py",
    "modifier.path_modifier": "workflow/test_module.py",
    "modifier.is_main_snakefile": "workflow/test_module.py",
    "persistence.cleanup_metadata": "workflow/test_module.py",
    "included_stack": "workflow/test_module.py",
    "rules": "workflow/test_module.py",
}


def test_the_rules_use_no_other_internals(root):
    files = [root / "Snakefile", *(root / "rules").glob("*.smk")]
    text = "".join(path.read_text() for path in files)
    text = re.sub(r"\bsettings\.", "workflow.dag_settings.", text)
    objects = "dag|dag_settings|scheduler|modifier|persistence"
    used = re.findall(rf"workflow\.((?:{objects})\.\w+|included_stack|rules)\b", text)
    used += re.findall(r"\b(checkpoint_target|IncompleteCheckpointException)\b", text)
    assert set(used) == PRIVATE.keys()
    assert all((root / "tests" / test).is_file() for test in PRIVATE.values())


def test_a_scheduler_without_a_rate_limiter_limits_nothing():
    source = inspect.getsource(JobScheduler)
    assert "self.job_rate_limiter is not None" in source
    assert hasattr(Workflow, "scheduler")


def test_what_is_called_when_a_run_starts_and_ends_is_kept_in_attributes():
    source = inspect.getsource(Workflow)
    for moment in ("onstart", "onsuccess", "onerror"):
        assert f"self._{moment}(self.logger_manager.get_logfile())" in source


def test_the_version_is_one_that_the_package_asks_for(root):
    bound = re.search(r'"snakemake>=([\d.]+),<(\d+)"', (root / "pyproject.toml").read_text())
    version = tuple(map(int, snakemake.__version__.split(".")[:2]))
    assert tuple(map(int, bound[1].split("."))) <= version < (int(bound[2]),)
    assert f'min_version("{bound[1]}")' in (root / "Snakefile").read_text()

"""Commands of Snakemake that look at the workflow, or at what it did, and convert nothing."""

import os
import re

import pytest
import yaml

from ..runs import Started

NOTHING = "neurozarr: config: nothing to convert; give source"


@pytest.fixture
def look(root, tmp_path):
    """Runs Snakemake in an empty directory, with no configuration."""

    def look(*args):
        options = ["--snakefile", str(root / "Snakefile"), *args]
        return Started(options, tmp_path, dict(os.environ)).wait()

    return look


def test_each_rule_says_what_it_does(look):
    listed = look("--list-rules")
    assert listed.code == 0
    lines = [line for line in listed.output.splitlines() if not line.startswith("Using")]
    assert len(lines) == 21
    assert all(re.fullmatch(r"\w+ \([A-Z].*\.\)", line) for line in lines), lines


def test_the_workflow_can_be_linted_without_a_source(look):
    linted = look("--lint")
    assert linted.code == 0
    assert "your workflow is in a good condition" in linted.output


@pytest.mark.parametrize("target", ["all", "export"])
def test_a_run_without_a_source_says_that_there_is_nothing_to_convert(look, target):
    done = look("--cores", "1", target)
    assert done.code == 1
    assert NOTHING in done.output


def test_a_summary_needs_no_number_of_cores(workflow):
    (workflow.directory / "config.yaml").write_text(yaml.safe_dump(workflow.config))
    options = ["--snakefile", str(workflow.root / "Snakefile"), "--configfile", "config.yaml"]
    done = Started([*options, "--summary"], workflow.directory, workflow.environment).wait()
    assert done.code == 0, done.output
    assert re.search(r"\tconvert_bundle\t.*\tmissing\tupdate pending\n", done.output)


def test_a_report_of_a_run_can_be_made(workflow):
    workflow.bundle = True
    workflow()
    done = workflow("--report", "report.html")
    assert "Report created" in done.output
    assert (workflow.directory / "report.html").is_file()


def test_a_container_has_the_one_environment(workflow, tmp_path):
    conda = tmp_path / "bin/conda"
    conda.parent.mkdir()
    conda.write_text("""#!/bin/sh
case $1 in
    info) echo '{"conda_prefix": "/conda", "platform": "linux-64"}' ;;
    config) echo '{"get": {"channel_priority": "strict"}}' ;;
    *) echo "conda 25.9.1" ;;
esac
""")
    conda.chmod(0o755)
    workflow.environment["PATH"] = f"{conda.parent}:{workflow.environment['PATH']}"
    done = workflow("--containerize")
    assert done.output.count("\nRUN mkdir") == 1
    copied = re.search(r"^COPY (\S+neurozarr\.yaml) /conda-envs/", done.output, re.M)
    assert (workflow.directory / copied[1]).samefile(workflow.root / "envs/neurozarr.yaml")

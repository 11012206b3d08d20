"""Other workflows that use this one: by module, as snakedeploy lays it out, and by include."""

import json
import os
import re
import shutil

import pytest
import yaml

from ..runs import Started
from ..unit.bids_sets import data_set, image, text

#: Rules of another workflow: one reads stores, one has wildcards of the same names as rules here.
OTHERS = """
rule everything:
    default_target: True
    input:
        expand("read/{subject}.txt", subject=SUBJECTS),
        "own/a/b_fine.txt",

rule read_store:
    input:
        OUTPUT + "/.state/{subject}.nii.zarr/verify.json",
    output:
        "read/{subject}.txt",
    params:
        store=OUTPUT + "/{subject}.nii.zarr",
    shell:
        "cp {params.store}/zarr.json {output}"

rule write_own:
    output:
        "own/{sample}_{level}.txt",
    shell:
        "echo {wildcards.sample} ${{MALLOC_ARENA_MAX-unset}} > {output}"

onstart:
    print("the run starts")

onsuccess:
    print("the run ends")
"""
MODULE = """
module neurozarr:
    snakefile: "ROOT/Snakefile"
    config: config["neurozarr"]
    prefix: PREFIX

use rule * from neurozarr as nz_*

use rule export_nifti from neurozarr as nz_export_nifti with:
    threads: 1
"""
INCLUDE = 'include: "ROOT/Snakefile"'
SMALL = {"source": "small.nii", "zarr": {"chunk": 16}}


class Parent:
    """Another workflow, in a directory of its own, with two volumes: one is converted in blocks."""

    def __init__(self, root, directory, mri):
        self.root, self.directory = root, directory
        shutil.copy(mri / "anatomical.nii", directory / "small.nii")
        shutil.copy(mri / "anatomical.nii", directory / "large.nii")
        lines = ["sample\tsource\tresources.block_mb", "small\tsmall.nii", "large\tlarge.nii\t0.12"]
        (directory / "sheet.tsv").write_text("\n".join([*lines, ""]))
        self.config = {"neurozarr": {"samples": "sheet.tsv", "zarr": {"chunk": 16}}}

    def write(self, *parts, file="Snakefile"):
        (self.directory / file).parent.mkdir(exist_ok=True)
        text = "\n".join(['configfile: "config/config.yaml"', *parts])
        (self.directory / file).write_text(text.replace("ROOT", str(self.root)))

    def __call__(self, *args, check=True):
        file = self.directory / "config/config.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(self.config))
        environment = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
        run = Started(["--cores", "2", *args], self.directory, environment).wait()
        assert not check or run.code == 0, run.output
        return run

    def json(self, path):
        return json.loads((self.directory / path).read_text())


@pytest.fixture
def parent(root, tmp_path, mri):
    return Parent(root, tmp_path, mri)


def test_a_module_makes_what_rules_of_others_read(parent):
    others = 'SUBJECTS, OUTPUT = ["small", "large"], "results"'
    parent.write("PREFIX = None", MODULE, others, OTHERS)
    run = parent("nz_plan")
    assert run.rules == {"nz_plan"}
    assert re.search(r"^jobs: +\d+ \(.*\bwrite_base, .*\bconvert_bundle\);", run.output, re.M)
    assert not (parent.directory / "results").exists()
    run = parent()
    assert {"nz_convert_bundle", "nz_write_base", "nz_verify_store", "read_store"} <= run.rules
    assert "nz_all" not in run.rules
    assert run.output.count("the run starts") == run.output.count("the run ends") == 1
    for name in ("small", "large"):
        assert parent.json(f"read/{name}.txt") == parent.json(f"results/{name}.nii.zarr/zarr.json")
    assert (parent.directory / "own/a/b_fine.txt").read_text() == "a/b unset\n"
    assert not list(parent.directory.glob("results/.state/bundle-*"))
    (claim,) = parent.directory.glob("results/.state/large.nii.zarr/run-*.json")
    assert json.loads(claim.read_text())["repair"] == (
        "snakemake FILES --force --cores 2 && snakemake --cores 2"
    )
    # All triggers of Snakemake are on, because the profile of this workflow is not used.
    assert "Nothing to be done" in parent().output

    run = parent("nz_verify", "everything")
    assert run.output.count(": no damage found by a quick check") == 2
    assert "nz_write_base" not in run.rules
    run = parent("nz_export")
    assert run.rules == {"nz_export_nifti", "nz_export"}
    assert (parent.directory / "results/nifti/small_level-0.nii.gz").exists()
    assert "Nothing to be done" in parent("nz_export", "-n").output


def test_what_snakedeploy_lays_out_runs(parent):
    module = MODULE.split("use rule")[0].replace("PREFIX", "None")
    module = module.replace('config["neurozarr"]', "config")
    parent.write(module, "use rule * from neurozarr", file="workflow/Snakefile")
    parent.config = SMALL
    assert parent().rules == {"convert_bundle", "all"}
    run = parent("verify", "export")
    assert {"convert_bundle", "verify", "export_nifti", "export"} <= run.rules
    assert ": no damage found by a quick check" in run.output
    assert "Nothing to be done" in parent("-n").output


def test_files_of_a_module_have_its_prefix(parent):
    others = 'SUBJECTS, OUTPUT = ["small"], "made/results"'
    parent.write('PREFIX = "made"', MODULE, others, OTHERS)
    parent.config["neurozarr"] = SMALL
    parent("everything", "nz_all")
    assert parent.json("read/small.txt") == parent.json("made/results/small.nii.zarr/zarr.json")
    assert not {"results", "logs", "benchmarks"} & set(os.listdir(parent.directory))
    for file in ("results/verify/small.json", "logs/small/convert.log", "benchmarks/small"):
        assert (parent.directory / "made" / file).exists()
    assert "Nothing to be done" in parent("everything", "-n").output


def test_two_modules_run_at_once(parent):
    second = MODULE.replace("neurozarr:", "second:").replace("nz_", "second_")
    second = second.replace("from neurozarr", "from second").replace('["neurozarr"]', '["second"]')
    others = 'SUBJECTS, OUTPUT = ["small"], "results"'
    parent.write("PREFIX = None", MODULE, second, others, OTHERS)
    parent.config["neurozarr"] = SMALL
    parent.config["second"] = SMALL | {"output": "coarse", "pyramid": {"levels": 1}}
    parent("everything", "nz_all", "second_all")
    assert len(list(parent.directory.glob("results/small.nii.zarr/[0-9]"))) == 3
    assert len(list(parent.directory.glob("coarse/small.nii.zarr/[0-9]"))) == 2


def test_an_included_workflow_has_no_target_of_its_own(parent):
    others = 'SUBJECTS, OUTPUT = ["small"], "results"'
    others += OTHERS.replace("everything:", "all:").replace(
        "input:", "input:\n        all_stores,", 1
    )
    parent.config = SMALL
    parent.write(INCLUDE, others)
    run = parent()
    assert run.rules == {"convert_bundle", "verify_store", "read_store", "write_own", "all"}
    assert run.output.count("the run starts") == run.output.count("the run ends") == 1
    assert list(parent.directory.glob("results/.state/small.nii.zarr/run-*.json"))
    assert parent.json("read/small.txt") == parent.json("results/small.nii.zarr/zarr.json")
    assert "Nothing to be done" in parent("-n").output


@pytest.mark.parametrize("before", [True, False])
def test_names_that_others_define_too_are_an_error_of_include(parent, before):
    parent.config = SMALL
    theirs = ['SAMPLES = ["small"]', "rule all:\n    input: all_stores"]
    parent.write(*[theirs[0], INCLUDE, theirs[1]] if before else [INCLUDE, *theirs])
    run = parent("-n", check=False)
    assert run.code == 1
    assert "neurozarr: SAMPLES is defined in " in run.output
    assert "instead of `include`, use `module`" in run.output


def test_files_of_a_store_as_input_are_refused_if_a_bundle_writes_them(parent):
    others = 'SUBJECTS, OUTPUT = ["small"], "results"'
    others += OTHERS.replace(
        "/.state/{subject}.nii.zarr/verify.json", "/{subject}.nii.zarr/zarr.json"
    )
    parent.write("PREFIX = None", MODULE, others)
    run = parent("-n", check=False)
    assert run.code == 1
    assert run.output.strip().splitlines()[-1] == (
        "neurozarr: sample small is converted together with others: rules that read it need "
        "results/.state/small.nii.zarr/verify.json as input, not files of the store"
    )


def test_a_module_with_a_prefix_keeps_the_tree_of_a_data_set(parent):
    name = "sub-01/anat/sub-01_T1w"
    image(data_set(parent.directory / "bids") / f"{name}.nii")
    text(parent.directory / "bids/T1w.json", '{"EchoTime": 1}')
    parent.config["neurozarr"] = {"source": "bids", "resources": {"bundle": False}}
    parent.write('PREFIX = "of module"', MODULE)
    run = parent("nz_all")
    assert {"nz_write_sidecars", "nz_describe_dataset"} <= run.rules
    output = parent.directory / "of module/results"
    assert {path.name for path in output.glob("[a-z]*")} == {
        "dataset_description.json",
        "sub-01",
        "verify",
    }
    assert (output / f"{name}.json").read_text() == '{"EchoTime": 1}'
    assert (output / f"{name}.nii.zarr/zarr.json").exists()
    assert (parent.directory / f"of module/logs/{name}/write_sidecars.log").exists()
    assert "Nothing to be done" in parent("nz_all").output

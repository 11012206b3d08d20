"""Sources that rules of the workflow make that uses this one, by module or by include."""

import re
import shutil

import nibabel
import numpy as np
import pytest
import yaml

import neurozarr

from ..runs import Started, Workflow

MODULE = """
module neurozarr:
    snakefile: "ROOT/Snakefile"
    config: config

use rule * from neurozarr as nz_*
"""
#: Makes each volume from one of the same name, and notes how often.
RULES = """
rule register:
    input: "raw/{subject}.nii"
    output: REGISTERED
    shell: "echo {wildcards.subject} >> made.txt; cp {input} {output}"

rule own:
    output: touch("own.txt")
"""
TARGET = "rule everything:\n    default_target: True\n    input: rules.nz_all.input\n"
REGISTERED = '"registered/{subject}.nii"'
SHEET = "sample\tsource\tresources.block_mb\nsmall\tregistered/small.nii\n"
LARGE = "large\tregistered/large.nii\t0.03\n"


def write_volume(path, *shape):
    path.parent.mkdir(exist_ok=True)
    voxels = np.random.default_rng(len(path.name)).integers(0, 9, shape).astype("i2")
    image = nibabel.Nifti1Image(voxels, np.diag([2, 2, 2, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


class Parent(Workflow):
    """A workflow that makes what it converts, in a directory of its own."""

    def write(self, *parts, registered=REGISTERED):
        text = "\n".join(['configfile: "config.yaml"', *parts])
        text = text.replace("ROOT", str(self.root)).replace("REGISTERED", registered)
        (self.directory / "Snakefile").write_text(text)

    def _start(self, *args):
        (self.directory / "config.yaml").write_text(yaml.safe_dump(self.config))
        options = ["--quiet", "host", "--cores", "2", "--rerun-incomplete"]
        return Started([*options, *args], self.directory, self.environment)

    def sheet(self, *lines):
        (self.directory / "sheet.tsv").write_text("".join(lines))
        self.config["samples"] = "sheet.tsv"

    def made(self):
        """How often each volume was made."""
        lines = (self.directory / "made.txt").read_text().split()
        return {name: lines.count(name) for name in lines}

    def converted(self, name, folder):
        """The files of a store of the volume that is made of a raw one, converted alone."""
        source = shutil.copy(self.directory / f"raw/{name}.nii", folder / f"{name}.nii")
        options = {"zarr": self.config["zarr"]}
        if name == "large":
            options["resources"] = {"block_mb": 0.03}
        neurozarr.convert(source, folder / name, **options)
        return Workflow(self.root, folder, {"output": name}).tree(name)


@pytest.fixture
def parent(root, tmp_path):
    directory = tmp_path / "parent"
    write_volume(directory / "raw/small.nii", 20, 18, 16) if directory.mkdir() is None else None
    write_volume(directory / "raw/large.nii", 40, 30, 20)
    made = Parent(root, directory, {"zarr": {"chunk": 16}})
    made.write(MODULE, TARGET, RULES)
    made.sheet(SHEET, LARGE)
    return made


def resources(run, rule):
    """Threads and resources of the jobs of a rule, in the order of their outputs."""
    jobs = re.findall(rf"^(?:local)?rule {rule}:\n((?: {{4}}.*\n)*)", run.output, re.M)
    told = [re.findall(r"^ +(output|threads|resources): (.*)", job, re.M) for job in jobs]
    return sorted(told)


def test_made_sources_are_converted_in_the_same_run(parent, tmp_path):
    dry = parent("--dry-run")
    assert {"register", "nz_source_made", "everything"} == dry.rules
    run = parent()
    assert {"nz_convert_bundle", "nz_write_base", "nz_pyramid_level", "nz_verify_store"} < run.rules
    assert parent.made() == {"small": 1, "large": 1}
    for name in ("small", "large"):
        assert parent.tree(name) == parent.converted(name, tmp_path)
    assert "Nothing to be done" in parent().output
    run = parent("nz_verify")
    assert run.output.count(": no damage found by a quick check") == 2
    assert parent("nz_export").rules == {"nz_export_nifti", "nz_export"}
    assert "Nothing to be done" in parent("nz_export").output


def test_jobs_have_the_threads_and_memory_of_existing_sources(parent):
    run = parent()
    shutil.rmtree(parent.output)
    parent.write(MODULE, TARGET)  # Now no rule makes them.
    again = parent()
    for rule in ("nz_write_base", "nz_pyramid_level", "nz_verify_store"):
        assert resources(run, rule) == resources(again, rule) != []
    (made,), (existing,) = (
        resources(run, "nz_convert_bundle"),
        resources(again, "nz_convert_bundle"),
    )
    assert made[1:] == existing[1:]


def test_a_source_that_is_made_again_with_another_shape_needs_one_run(parent, tmp_path):
    parent()
    write_volume(parent.directory / "raw/large.nii", 50, 60, 20)
    write_volume(parent.directory / "raw/small.nii", 10, 10, 60)
    parent()
    assert parent.made() == {"small": 2, "large": 2}
    for name in ("small", "large"):
        assert parent.tree(name) == parent.converted(name, tmp_path)
    assert "Nothing to be done" in parent().output


def test_deleted_temporary_sources_are_made_again_only_if_needed(parent):
    parent.write(MODULE, TARGET, RULES, registered=f"temp({REGISTERED})")
    parent()
    assert not list((parent.directory / "registered").glob("*"))
    assert "Nothing to be done" in parent().output
    assert parent.made() == {"small": 1, "large": 1}
    parent("nz_export")
    assert len(list(parent.directory.glob("results/nifti/*_level-0.nii.gz"))) == 2
    assert parent.made() == {"small": 2, "large": 2}
    assert "Nothing to be done" in parent("nz_export").output
    assert "Nothing to be done" in parent().output
    shutil.rmtree(parent.store("small"))
    parent()
    assert parent.made() == {"small": 3, "large": 2}
    assert parent.store("small").exists()
    parent.config["zarr"] = {"chunk": 8}
    parent()
    assert parent.made() == {"small": 4, "large": 3}
    assert "Nothing to be done" in parent().output
    assert parent("nz_verify").output.count(": no damage found by a quick check") == 2


@pytest.mark.parametrize("flag", ["temp", "protected"])
@pytest.mark.parametrize("moment", ["large.nii.zarr/0/c", "large.nii.zarr/1/c", "small.nii.zarr/0"])
def test_a_killed_run_is_completed(parent, tmp_path, moment, flag):
    parent.write(MODULE, TARGET, RULES, registered=f"{flag}({REGISTERED})")
    parent.kill_when((parent.output / moment).exists)
    parent()
    for name in ("small", "large"):
        assert parent.tree(name) == parent.converted(name, tmp_path)
    assert "Nothing to be done" in parent().output
    assert max(parent.made().values()) == 1

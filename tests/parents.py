"""Workflows that use this one as a module, and make the sources that it converts."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import yaml

import neurozarr

from .runs import Started, Workflow

MODULE = """
module neurozarr:
    snakefile: "ROOT/Snakefile"
    config: config

use rule * from neurozarr as nz_*

rule everything:
    default_target: True
    input: rules.nz_all.input
"""
#: Makes each volume from one of the same name, and notes how often.
REGISTER = """
rule register:
    input: "raw/{subject}.nii"
    output: OUTPUT
    shell: "echo {wildcards.subject} >> made.txt; cp {input} {output}"
"""
OUTPUT = '"registered/{subject}.nii"'
SHEET = ["sample\tsource\tresources.block_mb", "small\tregistered/small.nii"]
LARGE = "large\tregistered/large.nii\t0.03"


def write_volume(path, *shape):
    """Write a volume, in mm, so that nothing is warned of."""
    path.parent.mkdir(exist_ok=True, parents=True)
    voxels = np.random.default_rng(shape[0]).integers(0, 9, shape).astype("i2")
    image = nibabel.Nifti1Image(voxels, np.diag([2, 2, 2, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


class Parent(Workflow):
    """A workflow that makes what it converts, in a directory of its own."""

    #: All triggers of Snakemake are on, because the profile of this workflow is not used.
    triggers = ()

    def write(self, *parts, output=OUTPUT):
        text = "\n".join(['configfile: "config.yaml"', *parts])
        text = text.replace("ROOT", str(self.root)).replace("OUTPUT", output)
        (self.directory / "Snakefile").write_text(text)

    def sheet(self, *lines):
        (self.directory / "sheet.tsv").write_text("\n".join([*lines, ""]))
        self.config["samples"] = "sheet.tsv"

    def _start(self, *args):
        (self.directory / "config.yaml").write_text(yaml.safe_dump(self.config))
        options = ["--quiet", "host", "--cores", "2", "--rerun-incomplete", "--keep-going"]
        return Started([*options, *self.triggers, *args], self.directory, self.environment)

    def made(self):
        """How often each volume was made."""
        lines = (self.directory / "made.txt").read_text().split()
        return {name: lines.count(name) for name in lines}

    def converted(self, name, folder):
        """The files of a store of the same volume, converted alone by `neurozarr.convert`."""
        source = shutil.copy(self.directory / f"raw/{name}.nii", folder / f"{name}.nii")
        blocks = {"resources": {"block_mb": 0.03}} if name == "large" else {}
        neurozarr.convert(source, folder / name, zarr=self.config["zarr"], **blocks)
        return Workflow(self.root, folder, {"output": name}).tree(name)


def make_parent(root: Path, directory: Path, samples=(*SHEET, LARGE), output=OUTPUT) -> Parent:
    """A parent in an empty directory, that has raw volumes and has not made anything of them."""
    made = Parent(root, directory, {"zarr": {"chunk": 16}})
    write_volume(directory / "raw/small.nii", 20, 18, 16)
    write_volume(directory / "raw/large.nii", 40, 30, 16)
    made.write(MODULE, REGISTER, output=output)
    made.sheet(*samples)
    return made

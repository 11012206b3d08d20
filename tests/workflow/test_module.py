"""Other workflows that use this one: by module, as snakedeploy lays it out, and by include."""

import json
import re
import shutil

import nibabel
import pytest
import yaml

from neurozarr.run import claims

from ..runs import Started

#: Rules of another workflow: one reads each store, one has wildcards of the same names.
RULES = """
rule everything:
    input:
        expand("voxels/{subject}.txt", subject=["anatomical", "large"]),
        "own/a/b_7.txt",

rule read_store:
    input:
        "results/.state/{subject}.nii.zarr/verify.json",
    output:
        "voxels/{subject}.txt",
    shell:
        "ls results/{wildcards.subject}.nii.zarr/zarr.json > {output}"

rule write_own:
    output:
        "own/{sample}_{level}.txt",
    shell:
        "echo {wildcards.sample} ${{OPENBLAS_NUM_THREADS-unset}} > {output}"

onstart:
    print("the run starts")

onsuccess:
    print("the run ends")
"""
CONFIG = {
    "samples": "sheet.tsv",
    "zarr": {"chunk": 16},
}


class Parent:
    """A workflow in a directory of its own, with a small and a large volume."""

    def __init__(self, root, directory, mri):
        self.root, self.directory = root, directory
        shutil.copy(mri / "anatomical.nii", directory)
        lines = ["sample\tsource\tresources.bundle", "anatomical\tanatomical.nii"]
        lines = ["sample\tsource\tresources.block_mb", "anatomical\tanatomical.nii\t"]
        lines.append("large\tanatomical.nii\t0.01")
        (directory / "sheet.tsv").write_text("\n".join([*lines, ""]))

    def __call__(self, snakefile, *args, config=CONFIG, check=True):
        (self.directory / "Snakefile").write_text(snakefile.replace("ROOT", str(self.root)))
        (self.directory / "parent.yaml").write_text(yaml.safe_dump(config))
        import os

        environment = dict(os.environ)
        environment.pop("OPENBLAS_NUM_THREADS", None)
        done = Started(["--cores", "2", *args], self.directory, environment).wait()
        assert not check or done.code == 0, done.output
        return done

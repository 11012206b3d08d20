"""The command in a page that converts its sample again."""

import json
import os
import shlex
import subprocess

import nibabel
import numpy as np
import pytest

from neurozarr.commands import snakemake_arguments
from neurozarr.samples.commands import convert_again, given_options
from neurozarr.samples.reading import read_run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.nii", "it's a=b.nii", "seg.nii"):
        voxels = np.ones((4, 5, 6), "u1")
        nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(name)
    np.zeros(120, "u2").tofile("raw.bin")
    (tmp_path / "slices").mkdir()
    return tmp_path


def samples_of(command):
    """The run that a command starts, with a sheet that the shell writes."""
    here, *others, run = command.split(" && ")
    words = shlex.split(run)
    if others:
        script = " && ".join([here, *others, 'printf "%s" "$sheet"'])
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        words[words.index("$sheet")] = done.stdout
    assert words.pop(0) == "neurozarr"
    given = snakemake_arguments(words)
    options = dict(word.split("=", 1) for word in given[given.index("--config") + 1 :])
    config = {}
    for name, value in options.items():
        try:
            config[name] = json.loads(value)
        except ValueError:
            config[name] = value
    return read_run(config)


def same(one, other):
    fields = ("name", "layout", "voxel_size", "unit", "time_step", "time_unit", "options")
    paths = {os.path.normpath(sample.path) for sample in (one, other)}
    alike = all(getattr(one, field) == getattr(other, field) for field in fields)
    return alike and len(paths) == 1


@pytest.mark.parametrize(
    "config",
    [
        {"source": "a.nii"},
        {"source": "it's a=b.nii", "output": "o u't", "zarr": {"chunk": [2, 3, 4]}},
        {"source": "a.nii", "verify": "full", "nifti": {"nii": False, "center": False}},
        {"source": "a.nii", "ome": {"name": "null", "channel_names": ["a b"]}, "voxel_size": 2.5},
        {"source": "a.nii", "zarr": {"compressor": "blosc", "compressor_options": {"clevel": 5}}},
        {"source": "a.nii", "pyramid": {"mode": "median", "factors": [[1, 2, 2]]}},
        {"source": "raw.bin", "axes": "zyx", "shape": "4,5,6", "dtype": "uint16", "unit": "um"},
        {"samples": "sample\tsource\tzarr.chunk\nother\ta.nii\t64\n"},
        {"samples": "sample\tsource\tlabel_of\nx\ta.nii\t\nseg\tseg.nii\tx\n", "output": "out"},
    ],
)
def test_command_gives_the_same_plan(folder, config):
    if "samples" in config:
        (folder / "sheet.tsv").write_text(config["samples"])
        config = config | {"samples": "sheet.tsv"}
    run, samples = read_run(config)
    for name, sample in samples.items():
        command = convert_again(sample, run, directory=str(folder))
        run_again, found = samples_of(command)
        assert run_again == run
        assert same(found[name], sample)


def test_only_options_that_differ_are_listed(folder):
    config = {"source": "a.nii", "zarr": {"chunk": 128, "shard": 256}, "time_step": 2}
    _, samples = read_run(config)
    assert given_options(samples["a"]) == {"time_step": "2.0", "zarr.shard": "256"}

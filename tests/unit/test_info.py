"""The table of the levels of a store that ``neurozarr info`` prints."""

import json
import subprocess
import sys

import numpy as np
import pytest
import zarr

from neurozarr.errors import SourceError
from neurozarr.info import describe

SHAPE = (4, 6, 8)
LEVEL = "scale0/image"
SCALE = {"type": "scale", "scale": [3.0, 2.0, 0.5]}
#: OME-Zarr metadata of an image in each version, without the paths of its levels.
METADATA = {
    "0.1": {},
    "0.2": {},
    "0.3": {"axes": ["z", "y", "x"]},
    "0.4": {"axes": [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]},
}
METADATA["0.5"] = METADATA["0.4"]
METADATA["0.6"] = {"coordinateSystems": [{"name": "intrinsic"} | METADATA["0.4"]]}


def image(path, version, **changes):
    """Write an image of one level with an unusually long path."""
    dataset = {"path": LEVEL}
    if version >= "0.4":
        ends = {"input": {"path": LEVEL}, "output": {"name": "intrinsic"}}
        dataset["coordinateTransformations"] = [SCALE | (ends if version == "0.6" else {})]
    described = {"multiscales": [{"datasets": [dataset]} | METADATA[version] | changes]}
    zarr_format = 3 if version >= "0.5" else 2
    if zarr_format == 2:
        described["multiscales"][0]["version"] = version
    else:
        described = {"ome": {"version": version} | described}
    zarr.create_group(path, zarr_format=zarr_format, attributes=described)
    shape = SHAPE if version >= "0.3" else (1, 2, *SHAPE)
    voxels = np.arange(np.prod(shape), dtype="u2").reshape(shape)
    zarr.create_array(path / LEVEL, data=voxels, zarr_format=zarr_format, chunks=(2,) * len(shape))
    return path


def run(path):
    """The printed lines, or the error message, for a path."""
    try:
        return describe(str(path)).splitlines(), ""
    except SourceError as error:
        return [], str(error)


@pytest.mark.parametrize("version", METADATA)
def test_image_of_any_version_is_described(tmp_path, version):
    (first, _, level), _ = run(image(tmp_path / "a", version))
    unit = "micrometer" if version >= "0.4" else "space"
    batch = "t (time), c (channel), " if version < "0.3" else ""
    axes = f"{batch}z ({unit}), y ({unit}), x ({unit})"
    assert first == f"{tmp_path}/a: Zarr v{3 if version >= '0.5' else 2}, axes {axes}"
    path, *shape = level.split()
    assert path == LEVEL
    said = " ".join(shape)
    assert said.startswith("4 x 6 x 8" if version >= "0.3" else "1 x 2 x 4 x 6 x 8")
    assert ("3 x 2 x 0.5" in said) == (version >= "0.4")
    assert ("unknown" in said) == (version < "0.4")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_images_of_bioformats2raw_are_described_separately(tmp_path, version):
    def group(path, said):
        attributes = said if version == "0.4" else {"ome": said}
        zarr_format = 2 if version == "0.4" else 3
        zarr.create_group(path, zarr_format=zarr_format, attributes=attributes)

    def named():
        lines, _ = run(tmp_path / "a")
        return [line.partition(": Zarr")[0] for line in lines if ": Zarr" in line]

    group(tmp_path / "a", {"bioformats2raw.layout": 3})
    image(tmp_path / "a/0", version)
    assert named() == [f"{tmp_path}/a/0"]
    image(tmp_path / "a/1", version)
    assert named() == [f"{tmp_path}/a/0", f"{tmp_path}/a/1"]
    group(tmp_path / "a/OME", {"series": ["1"]})
    assert named() == [f"{tmp_path}/a/1"]


def test_path_without_an_image_is_an_error_of_one_line(tmp_path):
    path = image(tmp_path / "a", "0.4")
    assert run(path / LEVEL) == (
        [],
        f"{path}/{LEVEL}: a Zarr array that contains no OME-Zarr image",
    )
    zarr.create_group(tmp_path / "b")
    zarr.create_array(tmp_path / "b/raw", data=np.zeros(SHAPE, "u1"))
    refusal = f"{tmp_path}/b: a Zarr group that contains no OME-Zarr image"
    assert run(tmp_path / "b") == ([], refusal)
    assert run(tmp_path / "c") == ([], f"{tmp_path}/c: there is no such directory")
    for name, changes, message in [
        ("d", {"datasets": [{"path": "1"}]}, "d/1: level 0 of the image is missing"),
        (
            "e",
            {"axes": ["y", "x"]},
            f"e/{LEVEL}: the image has 2 axes, but the array has 3 dimensions",
        ),
        ("f", {"datasets": []}, "f: its metadata are invalid ("),
        ("g", {"datasets": [{"path": LEVEL, "coordinateTransformations": [{}]}]}, "g: its metadat"),
    ]:
        said, error = run(image(tmp_path / name, "0.4", **changes))
        assert not said
        assert error.startswith(f"{tmp_path}/{message}")
        assert "\n" not in error


def test_what_is_not_a_store_is_said_with_what_to_give(tmp_path):
    image(tmp_path / "a.ome.zarr", "0.5")
    inside = f"{tmp_path}: not a store, but a directory with 1 store: name a store, such as "
    assert run(tmp_path) == ([], f"{inside}{tmp_path}/a.ome.zarr")
    file = tmp_path / "a.nii"
    file.touch()
    assert run(file) == ([], f"{file}: a file, not a store; convert it first: neurozarr run {file}")
    (tmp_path / "empty").mkdir()
    assert ": neither Zarr nor N5: it has none of" in run(tmp_path / "empty")[1]


def test_stores_beside_a_wrong_one_are_described(tmp_path):
    path = image(tmp_path / "a", "0.5")
    command = [sys.executable, "-m", "neurozarr", "info", str(tmp_path / "b"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == run(path)[0]
    assert done.stderr == f"{tmp_path}/b: there is no such directory\n"
    assert done.returncode == 1


def test_a_full_disk_is_an_error_of_one_line(tmp_path):
    command = [sys.executable, "-m", "neurozarr", "info", str(image(tmp_path / "a", "0.5"))]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "neurozarr info: what it prints: No space left on device (see neurozarr info --help)\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_command_prints_only_the_error(tmp_path):
    path = image(tmp_path / "a", "0.3")
    command = [sys.executable, "-m", "neurozarr", "info", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == run(path)[0]
    (path / ".zattrs").write_text(json.dumps({"multiscales": 1})[:-1])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{path}/.zattrs: damaged: not JSON")

"""Files that are damaged, and configurations that are absurd: a clear error, or a sound store.

No damage may end in another error, in a hang, or in memory that grows with what a header claims.
"""

import gzip
import json
import math
import os
import shutil
import signal
import time
import tracemalloc
import warnings

import nibabel
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.common.configfile import load_configfile
from snakemake_interface_common.exceptions import WorkflowError

from neurozarr import nifti, ome
from neurozarr.drivers import open_array
from neurozarr.errors import ConfigError, NeurozarrError, SourceError
from neurozarr.samples import read_run
from neurozarr.sources import open_source

from .conversions import SCHEMAS, convert

# nibabel leaves the files of MGH images open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Extension size is not a multiple:UserWarning"),
]

NIFTI = ("anatomical.nii", "functional.nii", "example4d.nii.gz", "example_nifti2.nii.gz")
NAN, INF = math.nan, math.inf
#: Values for fields of integers, and of floats, of which each holds those that it can.
INTEGERS = [0, -1, 1, 2, 3, 4, 7, 8, 16, 64, 128, 255, 348, 512, 540, 1536, 2304, 2**15 - 1]
INTEGERS += [-(2**15), 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
FLOATS = [0.0, -0.0, 1.0, -1.0, 2.0, 352.0, -352.0, 1e-45, 1e19, 3e38, -3e38, NAN, INF, -INF]
DOUBLES = [*FLOATS, 5e-324, 1e308, -1e308]
MB = 2**20
SMALL = {"zarr": {"chunk": 32, "dimension_separator": "."}}


@pytest.fixture(autouse=True)
def _no_hang():
    def fail(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(100)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """One for all examples, each of which is converted in place of the last one of its name."""
    return tmp_path_factory.mktemp("bad")


@pytest.fixture
def frugal():
    """Fails a test that takes long, or much memory."""
    tracemalloc.start()
    start = time.monotonic()
    yield
    seconds, (_, peak) = time.monotonic() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 10
    assert peak < 150 * MB


@pytest.fixture(scope="module")
def contents(mri):
    """Real files, decompressed, by their names; of long ones, the first two slices and times."""
    found = {name: (mri / name).read_bytes() for name in (*NIFTI, "test.mgz")}
    for name, content in found.items():
        found[name] = content = gzip.decompress(content) if name.endswith("z") else content
        if name in ("functional.nii", "example4d.nii.gz"):
            content = with_field(content, "dim", 2, slice(3, 5))
            record = nifti.fields(content)
            end = int(record["vox_offset"]) + 2 * math.prod(map(int, record["dim"][1:5]))
            found[name] = content[:end]
    return found


def write(path, content):
    """Write a file, compressed where its name says so."""
    path.write_bytes(gzip.compress(content, 1, mtime=0) if path.suffix.endswith("z") else content)
    return path


def with_field(content, name, value, index=()):
    """A NIfTI file with a field of its header changed."""
    record = nifti.fields(content)
    record[name][index] = value
    return record.tobytes() + content[record.dtype.itemsize :]


def expected(path):
    """The voxels that nibabel reads, unscaled, as they are to be stored."""
    with warnings.catch_warnings(action="ignore"):
        voxels = np.asarray(nibabel.load(path).dataobj.get_unscaled())
    names = voxels.dtype.names
    voxels = np.stack([voxels[name].T for name in names]) if names else voxels.T
    return voxels.swapaxes(0, 1) if voxels.ndim == 5 else voxels


def scales(document):
    """All scales in a JSON document, wherever they are."""
    if isinstance(document, dict):
        yield from document["scale"] if document.get("type") == "scale" else ()
    if isinstance(document, (dict, list)):
        for part in document.values() if isinstance(document, dict) else document:
            yield from scales(part)


def no_constant(name):
    raise AssertionError(f"{name} is no JSON")


def check_store(store, voxels):
    """Check that a store holds these voxels, and metadata that are legal."""
    stored = open_array(store / "0", "r")[...]
    assert stored.shape == voxels.shape
    assert stored.tobytes() == voxels.astype(stored.dtype, copy=False).tobytes()
    for path in store.rglob("zarr.json"):
        document = json.loads(path.read_text(), parse_constant=no_constant)
        assert all(0 < scale < INF for scale in scales(document))
    record = nifti.fields(open_array(store / "nifti", "r")[...].tobytes())
    if voxels.ndim < 5 and "c" not in _axes(store):
        assert tuple(record["dim"][1 : 1 + voxels.ndim]) == voxels.shape[::-1]
    assert record["bitpix"] == 8 * stored.dtype.itemsize


def _axes(store):
    image = ome.image_of(json.loads((store / "zarr.json").read_text())["attributes"])
    return [axis["name"] for axis in ome.axes_of(image)]


def outcome(path, directory, **config):
    """Convert a file: the error that names it, or None where the store is sound."""
    start = time.monotonic()
    try:
        store, _ = convert(path, directory, SMALL | config)
    except NeurozarrError as error:
        assert str(path.parent / path.name.split(".")[0]) in str(error)
        return str(error)
    finally:
        assert time.monotonic() - start < 10
    check_store(store, expected(path))
    return None


def places(dtype):
    """Each number in the fields of a header."""
    for name in dtype.names:
        for index in np.ndindex(dtype[name].shape):
            if dtype[name].base.kind in "iuf":
                yield name, index


def values(dtype, name):
    kind = dtype[name].base
    if kind.kind == "f":
        return FLOATS if kind.itemsize == 4 else DOUBLES
    return [value for value in INTEGERS if np.iinfo(kind).min <= value <= np.iinfo(kind).max]


@settings(max_examples=70)
@given(data=st.data())
def test_any_bytes_of_a_header_may_be_wrong(contents, directory, data):
    name = data.draw(st.sampled_from(list(contents)))
    content = bytearray(contents[name])
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, 600 if "nifti2" in name else 420))
        new = data.draw(st.one_of(st.binary(min_size=1, max_size=1), st.binary(max_size=8)))
        content[start : start + len(new)] = new
    outcome(write(directory / name, bytes(content)), directory)


@settings(max_examples=70)
@given(data=st.data())
def test_any_fields_of_a_header_may_be_absurd(contents, directory, data):
    name = data.draw(st.sampled_from(NIFTI))
    content = contents[name]
    dtype = nifti.fields(content).dtype
    for field, index in data.draw(st.lists(st.sampled_from(list(places(dtype))), min_size=1, max_size=3)):
        value = data.draw(st.sampled_from(values(dtype, field)))
        if field != "sizeof_hdr":
            with np.errstate(over="ignore"):
                content = with_field(content, field, value, index)
    version = data.draw(st.sampled_from(["0.5", "0.6"]))
    outcome(write(directory / name, content), directory, ome={"ome_version": version})


@settings(max_examples=15)
@given(data=st.data())
def test_any_fields_of_an_mgh_file_may_be_absurd(contents, directory, data):
    content = contents["test.mgz"]
    dtype = nibabel.freesurfer.mghformat.MGHHeader._hdrdtype
    record = np.frombuffer(content, dtype, count=1).copy().reshape(())
    for field, index in data.draw(st.lists(st.sampled_from(list(places(dtype))), min_size=1, max_size=3)):
        record[field][index] = data.draw(st.sampled_from(values(dtype, field)))
    name = data.draw(st.sampled_from(["test.mgz", "test.mgh"]))
    outcome(write(directory / name, record.tobytes() + content[dtype.itemsize :]), directory)


@settings(max_examples=15)
@given(data=st.data())
@pytest.mark.parametrize(
    "kind",
    [
        nibabel.AnalyzeImage,
        nibabel.Spm99AnalyzeImage,
        nibabel.Spm2AnalyzeImage,
        nibabel.Nifti1Pair,
        nibabel.Nifti2Pair,
    ],
)
def test_any_fields_of_a_pair_may_be_absurd(contents, directory, kind, data):
    voxels = np.arange(4 * 5 * 6, dtype="i2").reshape(4, 5, 6)
    kind(voxels, np.eye(4)).to_filename(directory / "a.img")
    header = directory / "a.hdr"
    content = header.read_bytes()
    dtype = kind.header_class.template_dtype
    record = np.frombuffer(content, dtype, count=1).copy().reshape(())
    for field, index in data.draw(st.lists(st.sampled_from(list(places(dtype))), min_size=1, max_size=3)):
        with np.errstate(over="ignore"):
            record[field][index] = data.draw(st.sampled_from(values(dtype, field)))
    header.write_bytes(record.tobytes() + content[dtype.itemsize :])
    outcome(header, directory)

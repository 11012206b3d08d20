"""Memory of jobs, compared with the plan."""

import json
import mmap
import os
import platform
import subprocess
import sys

import nibabel
import nrrd
import numpy as np
import pytest
import tifffile
from pylibCZIrw import czi

from neurozarr import ZarrConfig, from_config, plan
from neurozarr.regions import whole
from neurozarr.run import memory, ownership, receipts
from neurozarr.run.paths import StorePaths
from neurozarr.sources import open_source
from neurozarr.voxels import export
from neurozarr.voxels.summary import Summary

# Writes two levels of a volume, exports the first of them, and prints the peak memory in MB,
# without mapped files.
JOB = """
import json, sys, threading, time
from pathlib import Path
import neurozarr
from neurozarr import voxels
from neurozarr.nifti import file_header
from neurozarr.samples.headers import header_of
from neurozarr.sources import open_source
from neurozarr.voxels import export

def anonymous():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1e3

peak, running = 0, True

def watch():
    global peak
    while running:
        peak = max(peak, anonymous())
        time.sleep(0.002)

config = json.loads(sys.argv[3])
group = neurozarr.from_config(neurozarr.ZarrConfig(out=sys.argv[2], **config))
source = open_source(sys.argv[1])
base = group.create_array("0", source.shape, source.dtype)
child = group.create_array_from_base("1", [length // 2 for length in source.shape])
header = file_header(header_of(source, dtype=source.dtype))
watcher = threading.Thread(target=watch, daemon=True)  # A failed job ends.
watcher.start()
peaks = []
for work in (
    lambda: voxels.copy_from_source(source, base, slab=json.loads(sys.argv[4]), threads=2),
    lambda: voxels.downsample_level(base, child, factors=[2, 2, 2], threads=2),
    lambda: export.write_nifti(
        base,
        "zyx",
        header,
        Path(sys.argv[2], "a.nii.gz"),
        colours=False,
    ),
):
    peak = 0
    work()
    peaks.append(peak)
running = False
watcher.join()
print(json.dumps(peaks))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("suffix", "config"),
    [
        (".nii", {"chunk": 64}),
        (".nii", {"chunk": 64, "driver": "zarr-python"}),
        (".nii", {"chunk": 32, "shard": 128}),
        (".nii.gz", {"chunk": 32}),
        ("", {"chunk": 64}),
        (".czi", {"chunk": 64}),
        (".nrrd", {"chunk": 64}),
    ],
    ids=["chunks", "zarr-python", "shards", "gzip", "stack", "czi", "nrrd"],
)
def test_jobs_stay_within_the_planned_memory(tmp_path, suffix, config):
    peaks = []
    # OpenReadout keeps the planes that it read last: both files are larger than what it keeps.
    for length in (1536, 3072) if suffix == ".czi" else (768, 1536):
        shape = (256, 256, length)
        path = tmp_path / f"{length}{suffix}"
        voxels = np.random.default_rng(0).integers(0, 50, shape[:2]).astype("u2")
        if suffix == ".czi":
            with czi.create_czi(str(path)) as file:
                for z in range(length):
                    file.write(voxels[..., None], plane={"Z": z})
        elif suffix == ".nrrd":
            whole_volume = np.broadcast_to(voxels, (length, 256, 256))
            nrrd.write(str(path), whole_volume, compression_level=1, index_order="C")
            del whole_volume
        elif suffix:
            image = nibabel.Nifti1Image(np.broadcast_to(voxels[..., None], shape), np.eye(4))
            image.to_filename(path)
            del image
        else:
            path.mkdir()
            tifffile.imwrite(path / "0.tif", voxels, compression="zlib")
            for number in range(1, length):
                os.link(path / "0.tif", path / f"{number}.tif")
        source = open_source(path)
        levels = plan.plan_levels(
            source.shape,
            source.dtype,
            "zyx",
            ZarrConfig(**config),
            native_chunk_shape=source.native_chunk_shape,
            in_order=source.file_axes if source.in_order else None,
        )
        command = [sys.executable, "-c", JOB, path, tmp_path / f"{length}.zarr"]
        done = subprocess.run(
            [*command, json.dumps(config), json.dumps(levels[0].slab)],
            env=os.environ | memory.ENVIRONMENT,
            check=True,
            capture_output=True,
            text=True,
        )
        allowed = [
            plan.base_memory_mb(levels[0], 2, native_chunk_shape=source.native_chunk_shape),
            levels[1].memory_mb(2),
            export.memory_mb(source.shape, levels[0].chunks, "zyx", source.dtype),
        ]
        found = json.loads(done.stdout)
        assert all(f < a for f, a in zip(found, allowed, strict=True)), (found, allowed)
        peaks.append(found)
    short, long = np.array(peaks)
    # The voxels of the longer volume alone take at least 101 MB more.
    assert (long - short < 60).all(), peaks


# Takes and frees 24 MB several times; prints how many pages the system provided.
REUSE = """
import resource
import numpy as np

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

before = pages()
for _ in range(10):
    [np.ones(1_000_000, "u1") for _ in range(24)]
print(pages() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another memory allocator")
def test_jobs_reuse_their_memory():
    environment = os.environ | memory.ENVIRONMENT
    pages = subprocess.check_output([sys.executable, "-c", REUSE], env=environment, text=True)
    assert int(pages) < 2 * 24_000_000 / mmap.PAGESIZE


# Publishes an image of one level, with the display window of its channel, and prints the peak
# memory in MB.
PUBLISH = """
import sys
from pathlib import Path
from neurozarr.run.paths import StorePaths
from neurozarr.steps.ome_metadata import make_metadata

attributes = {"ome": {"multiscales": [{"metadata": {}}]}}
make_metadata(
    StorePaths(output=sys.argv[1], sample="a", nii=False, zarr_version=3),
    blocks=[1],
    attributes=attributes,
    channels=[{"active": True}],
    driver=sys.argv[2],
)
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) / 1e3)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("driver", ["tensorstore", "zarr-python"])
def test_publishing_a_large_level_stays_within_planned_memory(tmp_path, driver):
    shape = (512, 512, 512)
    paths = StorePaths(output=str(tmp_path), sample="a", nii=False, zarr_version=3)
    store, base = paths.store, paths.level(0)
    array = from_config(ZarrConfig(out=store, chunk=128)).create_array("0", shape, "u2")
    for z in range(0, 512, 128):
        array[z : z + 128] = np.broadcast_to(np.uint16(z + 9), (128, 512, 512))
    ownership.record(paths, "0", [array.document])
    ownership.record(paths, "", [json.loads((store / "zarr.json").read_text())])
    receipts.write_array_receipt(base.array_receipt, array.document, [], {})
    receipts.write_block_receipt(
        base,
        0,
        whole(shape),
        Summary(checksum=0, minimum=9, maximum=393, total=1, count=1),
        nonce=json.loads(base.array_receipt.read_text())["nonce"],
        driver=driver,
        seconds=0,
        threads=1,
    )
    command = [sys.executable, "-c", PUBLISH, tmp_path, driver]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert float(done.stdout) < plan.BASE_MEMORY_MB
    (channel,) = json.loads((store / "zarr.json").read_text())["attributes"]["ome"]["omero"][
        "channels"
    ]
    assert channel["window"] == {"min": 9, "max": 393, "start": 9, "end": 393}

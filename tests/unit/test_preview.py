"""What a plan says of size, files and jobs, compared with real conversions."""

import math
import shutil
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st

from neurozarr.errors import SourceError
from neurozarr.preview import forecast, places
from neurozarr.preview.estimate import estimate, to_measure
from neurozarr.preview.measure import measure
from neurozarr.preview.options import changed_options
from neurozarr.preview.space import Free, free_space, problem, verdict
from neurozarr.preview.work import Work, left_of
from neurozarr.regions import grid
from neurozarr.samples.reading import read_run
from neurozarr.samples.rerun import Todo
from neurozarr.steps.convert_bundle import convert_sample
from neurozarr.steps.plan import describe_run


class Planned:
    """A run of which nothing is converted yet."""

    def __init__(self, directory, source, **options):
        self.config = {"source": str(source), "output": str(directory / "out"), **options}
        self.run, self.samples = read_run(self.config | {"verify": "none"})
        for sample in self.samples.values():
            sample.check()

    def works(self):
        return [
            left_of(
                sample,
                self.run.paths(name),
                Todo(sample, self.run.paths(name), verify="none"),
                is_bundled=True,
                verify="none",
                cores=2,
            )
            for name, sample in self.samples.items()
        ]

    def estimate(self, works):
        return estimate(works, self.samples.__getitem__, threads=2, seconds=math.inf)

    def convert(self):
        for name, sample in self.samples.items():
            convert_sample(sample, self.run.paths(name), verify="none", threads=2)

    def sizes(self):
        """Bytes and number of the files of all chunks or shards, and bytes of all files."""
        files = [path for path in Path(self.run.output).rglob("*") if path.is_file()]
        chunks = [
            path
            for path in files
            if path.name not in ("zarr.json", ".zarray", ".zattrs", ".zgroup")
            and ".zarr/nifti/" not in str(path)
            and ".state" not in path.parts
        ]
        return (
            sum(path.stat().st_size for path in chunks),
            len(chunks),
            sum(path.stat().st_size for path in files),
        )


def of_chunks(works, found):
    """Size of the chunks alone."""
    levels = [
        forecast.level_size(level, number, found.rates_of(work))
        for work in works
        for number, level in enumerate(work.levels)
    ]
    return sum(levels, forecast.NOTHING)


def assert_estimate_holds(planned, error=None):
    """Convert, and compare with the estimate, whose own error is at most the given one."""
    works = planned.works()
    found = planned.estimate(works)
    size = of_chunks(works, found)
    planned.convert()
    stored, files, total = planned.sizes()
    assert size.low <= stored <= size.high, (size, stored)
    assert files == sum(map(forecast.files, works))
    assert total <= sum(map(forecast.most, works))
    if error is not None:
        assert size.high - size.about <= error * size.about
    return found


CODECS = [
    {},
    {"zarr_version": 2, "compressor": "zlib"},
    {"compressor": "gzip", "shard": 32},
    {"compressor": "zstd", "driver": "zarr-python"},
    {"compressor": None},
    {"compressor": None, "shard": 32, "driver": "zarr-python"},
    {"compressor": "gzip", "compressor_options": {"level": 0}, "order": "F"},
]


@pytest.mark.parametrize("zarr", CODECS)
def test_estimate_of_a_real_image_holds(tmp_path, mri, zarr):
    assert_estimate_holds(Planned(tmp_path, mri / "anatomical.nii", zarr={"chunk": 16} | zarr))


def test_estimate_of_a_real_time_series_holds(tmp_path, mri):
    assert_estimate_holds(Planned(tmp_path, mri / "example4d.nii.gz", zarr={"chunk": 32}))


@pytest.fixture
def few(monkeypatch):
    """Limits that a volume of some MB is too large for."""
    for name, limit in {
        "WHOLE_BYTES": 2**18,
        "REGION_BYTES": 2**14,
        "READ_BYTES": 2**19,
        "PREFIX_BYTES": 2**20,
        "PLANES_BYTES": 2**16,
    }.items():
        monkeypatch.setattr(places, name, limit)


SHAPE = (70, 90, 100)


def kinds_of_voxels():
    """Volumes from noise to labels."""
    random = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij", sparse=True)
    noise, inside = random.normal(0, 20, SHAPE), z**2 + y**2 + x**2 < 0.6
    return {
        "noise": random.integers(0, 2**16, SHAPE).astype("u2"),
        "smooth": (1000 * np.sin(3 * z + 2 * y) * np.cos(4 * x)).astype("i2"),
        "head": np.where(inside, 500 + noise, abs(noise / 4)).astype("i2"),
        "without_skull": np.where(inside, 500 + noise, 0).astype("f4"),
        "labels": (inside * (1 + np.floor(3 * z + 3) * 7 + np.floor(2 * y + 2))).astype("u1"),
    }


VOXELS = kinds_of_voxels()


SHARDS = {"chunk": 16, "shard": 64, "compressor": "gzip"}


@pytest.mark.parametrize(
    ("kind", "zarr"),
    [*((kind, {"chunk": 32}) for kind in VOXELS), ("head", SHARDS), ("labels", SHARDS)],
)
def test_estimate_from_a_part_holds(tmp_path, few, kind, zarr):
    np.save(tmp_path / "a.npy", VOXELS[kind])
    found = assert_estimate_holds(Planned(tmp_path, tmp_path / "a.npy", zarr=zarr), error=1)
    assert found.measured["a"].share < 1


@pytest.mark.parametrize("kind", ["head", "without_skull"])
def test_estimate_from_the_start_of_a_stream_holds(tmp_path, few, kind):
    image = nibabel.Nifti1Image(VOXELS[kind].T, np.eye(4))
    image.to_filename(tmp_path / "a.nii.gz")
    planned = Planned(tmp_path, tmp_path / "a.nii.gz", zarr={"chunk": 32})
    found = assert_estimate_holds(planned, error=0.8)
    assert found.measured["a"].ratio_of_file is not None


def test_estimate_of_channels_and_times_holds(tmp_path, few):
    voxels = np.stack([[VOXELS["head"], VOXELS["smooth"]]] * 2)[:, :, ::2]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=voxels, chunks=(1, 1, 16, 50, 100), compression="gzip")
    options = {"axes": "tczyx", "zarr": {"chunk": 32}}
    assert_estimate_holds(Planned(tmp_path, tmp_path / "a.h5", **options))


def test_few_planes_of_a_stack_are_read(tmp_path, few, monkeypatch):
    (tmp_path / "a").mkdir()
    for number, plane in enumerate(VOXELS["head"]):
        tifffile.imwrite(tmp_path / f"a/{number:03}.tif", plane, compression="zlib")
    planned = Planned(tmp_path, tmp_path / "a", zarr={"chunk": 32})
    assert_estimate_holds(planned, error=1)
    chosen = places.places(
        (1000, 9000, 9000),
        (128, 128, 128),
        np.dtype("u2"),
        "zyx",
        file_axes="zyx",
        native_chunk_shape=(1, 9000, 9000),
    )
    assert all(region[0].stop - region[0].start == 1 for region in chosen.regions)


@given(
    shape=st.lists(st.integers(1, 3000), min_size=3, max_size=3),
    chunks=st.lists(st.integers(1, 200), min_size=3, max_size=3),
    native=st.none() | st.lists(st.integers(1, 3000), min_size=3, max_size=3),
    in_order=st.booleans(),
    dtype=st.sampled_from(["u1", "u2", "f8"]),
)
@example(shape=[400] * 3, chunks=[1] * 3, native=[400] * 3, in_order=False, dtype="f8")
def test_regions_are_within_limits(shape, chunks, native, in_order, dtype):
    dtype, chunks = np.dtype(dtype), tuple(map(min, chunks, shape))
    chosen = places.places(
        shape,
        chunks,
        dtype,
        "zyx",
        file_axes="zyx",
        native_chunk_shape=native if not in_order else None,
        in_order=in_order,
    )
    assert len(set(map(str, chosen.regions))) == len(chosen.regions)
    counts = [
        [side.stop - side.start for side in region]
        for region in [*chosen.regions, *chosen.timed]
        if all(0 <= s.start < s.stop <= length for s, length in zip(region, shape, strict=True))
    ]
    assert len(counts) == len(chosen.regions) + len(chosen.timed)
    size = dtype.itemsize * sum(map(np.prod, counts[: len(chosen.regions)]))
    whole = dtype.itemsize * np.prod(shape)
    native = (1, 1, 1) if native is None or in_order else native
    decoded = [places._decoded(region, shape, native) for region in chosen.regions]
    assert dtype.itemsize * sum(decoded) <= 8 * places.WHOLE_BYTES + 8 * places.MAX_NATIVE_BYTES
    if whole <= places.WHOLE_BYTES and chosen.regions:
        assert size == whole
    assert size <= max(places.READ_BYTES, places.WHOLE_BYTES) + places.PREFIX_BYTES
    assert all(tile <= chunk for tile, chunk in zip(chosen.tile, chunks, strict=True))


def test_first_region_is_the_centre_and_others_are_spread():
    cells = list(places._spread((9, 9, 9)))
    assert cells[0] == (4, 4, 4)
    assert len(set(cells)) == 9**3
    octants = {tuple(i // 4.5 for i in cell) for cell in cells[:24]}
    assert len(octants) == 8


def test_huge_native_chunk_is_not_decoded(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=VOXELS["head"], chunks=SHAPE)
    planned = Planned(tmp_path, tmp_path / "a.h5")
    monkeypatch.setattr(places, "MAX_NATIVE_BYTES", 2**20)
    with pytest.raises(SourceError, match=r"a\.h5: its native chunks, of shape .* are too large"):
        measure(planned.samples["a"], threads=1, seconds=1)
    works = planned.works()
    found = planned.estimate(works)
    assert found.failed.keys() == {"a"}
    assert found.total(works).low < found.total(works).high


def test_damaged_voxels_are_named_and_others_are_measured(tmp_path):
    nibabel.Nifti1Image(VOXELS["head"].T, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    image = nibabel.Nifti1Image(VOXELS["smooth"].T[:90], np.eye(4))
    image.to_filename(tmp_path / "b.nii.gz")
    whole = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(whole[:9000] + b"damage" + whole[9006:])
    planned = Planned(tmp_path, tmp_path / "*.nii.gz")
    found = planned.estimate(planned.works())
    assert found.measured.keys() == {"b"}
    assert "a.nii.gz: " in found.failed["a"]


def test_complete_levels_need_no_space(tmp_path, mri):
    planned = Planned(tmp_path, mri / "anatomical.nii", zarr={"chunk": 16})
    (fresh,) = planned.works()
    planned.convert()
    (work,) = planned.works()
    assert work.is_done
    assert forecast.inodes(work) == forecast.most(work) == 0
    assert to_measure([work]) == {}
    assert planned.estimate([work]).total([work]) == forecast.NOTHING
    # One block of level 1, and all that is made from it.
    (planned.run.paths("anatomical").level(1).block_receipt(0)).unlink()
    (work,) = planned.works()
    assert [level.blocks for level in work.levels] == [0, 1, 1]
    assert work.levels[1].voxels == fresh.levels[1].voxels
    assert [level.replaced > 0 for level in work.levels] == [False, False, True]
    # Another mode: the old files are replaced.
    planned = Planned(
        tmp_path, mri / "anatomical.nii", zarr={"chunk": 16}, pyramid={"mode": "mode"}
    )
    (work,) = planned.works()
    assert [level.blocks for level in work.levels] == [0, 1, 1]


def test_a_few_samples_of_each_kind_are_measured(tmp_path):
    for number in range(9):
        image = nibabel.Nifti1Image(VOXELS["head"][:, :, : 20 + number // 6], np.eye(4))
        image.to_filename(tmp_path / f"s{number}.nii")
    planned = Planned(tmp_path, tmp_path / "*.nii")
    chosen = sorted(to_measure(planned.works()).values())
    assert chosen == [["s0", "s3", "s5"], ["s6", "s7", "s8"]]


def test_work_is_the_same_as_plain_values(tmp_path, mri):
    (work,) = Planned(tmp_path, mri / "anatomical.nii").works()
    assert Work.from_plain(work.plain()) == work


SIZE = forecast.Size(low=50, about=100, high=200)


@pytest.mark.parametrize(
    ("free", "files", "replaced", "expected"),
    [
        (10_000, 9, 0, "fits"),
        (201, 0, 0, "fits"),
        (199, 0, 0, "may not fit"),
        (199, 0, 1, "fits"),
        (199, 9, 1, "may not fit"),
        (51, 0, 0, "may not fit"),
        (49, 0, 0, "does not fit"),
        (10_000, 11, 0, "does not fit"),
    ],
)
def test_free_space_is_compared_with_the_estimate(free, files, replaced, expected):
    disk = Free(folder=Path("/"), bytes=free, files=10, block=64)
    assert verdict(SIZE, files, replaced, disk) == expected


def test_free_space_is_that_of_the_nearest_parent(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    free = free_space(tmp_path / "link/no/such/../output")
    assert free.folder == tmp_path
    # Others may write to the disk meanwhile.
    assert abs(free.bytes - shutil.disk_usage(tmp_path).free) < 2**30


def test_no_chunk_is_encoded_if_all_fits_without_compression(tmp_path, mri):
    planned = Planned(tmp_path, mri / "anatomical.nii", zarr={"chunk": 16})
    works = planned.works()

    def refuse(name):
        raise AssertionError(f"{name} is measured")

    large = Free(folder=tmp_path, bytes=10**6, files=None, block=4096)
    assert problem(works, refuse, large, threads=1) == ("fits", "")
    small = Free(folder=tmp_path, bytes=10**4, files=None, block=4096)
    said, why = problem(works, planned.samples.__getitem__, small, threads=1)
    assert said == "does not fit"
    assert "and 10.0 kB are free" in why
    assert "resources.check_space" in why
    few = Free(folder=tmp_path, bytes=10**6, files=20, block=4096)
    said, why = problem(works, planned.samples.__getitem__, few, threads=1)
    assert said == "does not fit"
    assert "has room for 20 more" in why


def test_options_that_differ_are_listed_with_their_defaults(tmp_path, mri):
    shutil.copy(mri / "anatomical.nii", tmp_path)
    sheet = tmp_path / "sheet.tsv"
    rows = ["sample\tsource\tzarr.chunk\tpyramid.mode", "a\tanatomical.nii\t32\t"]
    rows += ["b\tanatomical.nii\t\t", "c\tanatomical.nii\t32\tmedian"]
    sheet.write_text("\n".join(rows).replace("anatomical", str(tmp_path / "anatomical")))
    config = {"samples": str(sheet), "verify": "full", "zarr": {"chunk": 64, "shard": None}}
    _, samples = read_run(config)
    assert changed_options(config, samples.values()) == [
        ("verify", "full", "quick"),
        ("zarr.chunk", "64", "128"),
        ("zarr.chunk", "32 for 2 of 3 samples", "128"),
        ("pyramid.mode", "median for 1 of 3 samples", "auto"),
    ]
    config = {"source": str(tmp_path / "anatomical.nii"), "voxel_size": [1, 2, 3]}
    _, samples = read_run(config)
    assert changed_options(config, samples.values()) == [("voxel_size", "1,2,3", "null")]


def test_padding_and_indices_of_shards_are_counted(tmp_path):
    np.save(tmp_path / "a.npy", VOXELS["noise"][:70, :70, :70])
    planned = Planned(tmp_path, tmp_path / "a.npy", zarr={"chunk": 16, "shard": 32})
    level = planned.works()[0].levels[0]
    assert level.chunks_left == np.prod(grid((70,) * 3, (16,) * 3)) == 125
    assert level.files == 27
    assert level.padding == 125 * 16**3 - 70**3
    assert level.index == 27 * (8 * 16 + 4)


def described(works, samples=(), **said):
    """What the target prints of some work, line by line, and whether it fits."""
    run = {"output": "out", "unreadable": 0, "waiting": 0, "bundles": 1, "descriptions": 0}
    run |= {"bundle_memory_mb": 400, "verify": "none", "cores": 2, "options": []}
    fields = [{name: getattr(s, name) for name in type(s).__dataclass_fields__} for s in samples]
    plain = [work.plain() for work in works]
    run |= {"check_space": True, **said}
    text, fits = describe_run(works=plain, samples=fields, threads=1, **run)
    return text.splitlines(), fits


def test_many_samples_have_a_line_each(tmp_path):
    for number in range(6):
        np.save(tmp_path / f"s{number}.npy", VOXELS["labels"][: 20 + number // 3])
    planned = Planned(tmp_path, tmp_path / "*.npy")
    lines, fits = described(planned.works(), planned.samples.values())
    assert fits
    assert lines[1].split() == [
        "sample",
        "shape",
        "type",
        "levels",
        "jobs",
        "MB",
        "voxels",
        "MB",
        "written",
    ]
    assert [line.split()[0] for line in lines[2:8]] == sorted(planned.samples)
    assert lines[-5:-3] == [
        "neurozarr: 6 samples",
        "jobs:   1 (1 convert_bundle); up to 400 MB of memory each",
    ]
    assert lines[-3].startswith("size:   about ")


def test_levels_of_dicom_are_not_known_before_their_conversion(tmp_path):
    work = Work(
        name="a",
        path="dicoms",
        store=str(tmp_path / "a.nii.zarr"),
        kind="",
        levels=(),
        source_bytes=5_000_000,
        is_bundled=True,
        jobs={},
        memory_mb=0,
        is_done=False,
    )
    lines, fits = described([work])
    assert fits
    assert lines[1].startswith("a: dicoms: 5.0 MB of DICOM files, of which the levels are known ")
    assert any(line.startswith("size:   about 11.0 MB (0.0 kB to 11.0 MB)") for line in lines)
    lines, _ = described([], waiting=2)
    assert lines[-1] == "neurozarr: 0 samples, and 2 whose sources other rules make first"

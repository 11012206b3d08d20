"""Real images, converted by the whole workflow and read by independent software."""

import itertools
import json
import shutil
import warnings
from functools import cache

import ngff_zarr
import nibabel
import niizarr
import numpy as np
import ome_zarr_models
import pytest
import tensorstore
import yaozarrs
import zarr
from nibabel.openers import ImageOpener
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

from neurozarr.voxels.kernels import downsample

T1, SERIES, NIFTI2 = "anatomical", "example4d", "example_nifti2"
SOURCES = {T1: "anatomical.nii", SERIES: "example4d.nii.gz", NIFTI2: "example_nifti2.nii.gz"}
#: Anatomical directions of the axes z, y and x; the slices of the series are tilted about x.
ORIENTATIONS = {
    T1: ["inferior-to-superior", "posterior-to-anterior", "right-to-left"],
    SERIES: ["inferior-to-superior", "posterior-to-anterior", "right-to-left"],
    NIFTI2: ["inferior-to-superior", "posterior-to-anterior", "right-to-left"],
}
FORMATS = {
    "v3": {"zarr": {"chunk": 16}},
    "v2": {"zarr": {"zarr_version": 2, "chunk": 16, "compressor": "zlib", "order": "F"}},
    "sharded": {"zarr": {"chunk": 8, "shard": 32, "compressor": "zstd"}},
}


class Converted:
    """The stores of one run and their sources."""

    def __init__(self, workflow, mri):
        self.workflow, self.mri = workflow, mri

    def image(self, sample):
        return nibabel.load(self.mri / SOURCES[sample])

    def voxels(self, sample):
        """The unscaled voxels of the source, in the order of axes of the store."""
        return self.image(sample).dataobj.get_unscaled().T

    def store(self, sample):
        return self.workflow.store(sample)

    def array(self, sample, level):
        return zarr.open_array(str(self.store(sample) / str(level)), mode="r")

    def tensorstore(self, sample, level):
        v2 = self.workflow.config["zarr"].get("zarr_version") == 2
        spec = {
            "driver": "zarr" if v2 else "zarr3",
            "kvstore": f"file://{self.store(sample)}/{level}/",
        }
        return tensorstore.open(spec).result()

    def multiscale(self, sample):
        attributes = dict(zarr.open_group(str(self.store(sample)), mode="r").attrs)
        return attributes.get("ome", attributes)["multiscales"][0]

    def levels(self, sample):
        return len(self.multiscale(sample)["datasets"])


@pytest.fixture(scope="module")
def convert(make_workflow, mri):
    """Converts the sources to a format, once for all tests."""

    @cache
    def convert(name):
        workflow = make_workflow({"samples": "sheet.tsv"} | FORMATS[name])
        rows = [f"{sample}\t{mri / file}\t" for sample, file in SOURCES.items()]
        if name == "v2":
            rows.append(f"seg\t{mri / SOURCES[T1]}\t{T1}")
        sheet = "\n".join(["sample\tsource\tlabel_of", *rows])
        (workflow.directory / "sheet.tsv").write_text(sheet)
        workflow()
        return Converted(workflow, mri)

    return convert


@pytest.fixture(scope="module", params=FORMATS)
def converted(request, convert):
    return convert(request.param)


every_sample = pytest.mark.parametrize("sample", SOURCES)


@every_sample
def test_zarr_python_and_tensorstore_read_all_voxels(converted, sample):
    expected = converted.voxels(sample)
    np.testing.assert_array_equal(converted.array(sample, 0)[...], expected)
    np.testing.assert_array_equal(converted.tensorstore(sample, 0).read().result(), expected)
    assert converted.array(sample, 0).dtype == np.dtype("int16")


@every_sample
def test_each_level_is_the_mean_of_its_parent_level(converted, sample):
    assert converted.levels(sample) > 1
    for level in range(1, converted.levels(sample)):
        parent = converted.tensorstore(sample, level - 1).read().result()
        steps = [1] * (parent.ndim - 3) + [2 if length > 3 else 1 for length in parent.shape[-3:]]
        even = parent[tuple(slice(n // s * s) for n, s in zip(parent.shape, steps, strict=True))]
        expected = tensorstore.downsample(tensorstore.array(even), steps, "mean").read().result()
        found = converted.tensorstore(sample, level).read().result()
        np.testing.assert_array_equal(found, expected)


@every_sample
def test_metadata_are_valid(converted, sample):
    yaozarrs.validate_zarr_store(str(converted.store(sample)))
    group = zarr.open_group(str(converted.store(sample)), mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations in its own code
        image = ome_zarr_models.open_ome_zarr(group)
    version = "04" if converted.workflow.config["zarr"].get("zarr_version") == 2 else "05"
    assert f"v{version}" in type(image).__module__


@every_sample
def test_metadata_match_the_source(converted, sample):
    image, found = converted.image(sample), converted.multiscale(sample)
    zooms = [float(zoom) for zoom in image.header.get_zooms()]
    units = {"mm": "millimeter", "sec": "second"}
    space, time = (units[unit] for unit in image.header.get_xyzt_units())
    axes = [{"name": name, "type": "space", "unit": space} for name in "zyx"]
    if image.ndim == 4:
        axes.insert(0, {"name": "t", "type": "time", "unit": time})
    said = [axis.pop("orientation", {"value": None}) for axis in found["axes"]]
    assert found["axes"] == axes
    assert [words["value"] for words in said[-3:]] == ORIENTATIONS[sample]
    for dataset in found["datasets"]:
        scale = dataset["coordinateTransformations"][0]["scale"]
        assert scale[:-3] == zooms[3:4]
    assert found["datasets"][0]["coordinateTransformations"][0]["scale"][-3:] == zooms[2::-1]
    assert (found["name"], found["type"]) == (sample, "mean")
    names = converted.array(sample, 0).metadata.to_dict().get("dimension_names")
    assert names in (None, tuple(axis["name"] for axis in axes), [axis["name"] for axis in axes])


def placement(converted, sample, level):
    """Spatial scale and translation of a level, computed from the header of the source."""
    sizes = [float(zoom) for zoom in converted.image(sample).header.get_zooms()[2::-1]]
    shapes = [converted.array(sample, number).shape[-3:] for number in range(level + 1)]
    halved = [
        sum(a != b for a, b in itertools.pairwise(lengths)) for lengths in zip(*shapes, strict=True)
    ]
    return (
        [size * 2**times for size, times in zip(sizes, halved, strict=True)],
        [size * (2**times - 1) / 2 for size, times in zip(sizes, halved, strict=True)],
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@every_sample
def test_ome_zarr_py_reads_the_position_of_every_level(converted, sample):
    (node, *_) = Reader(parse_url(str(converted.store(sample))))()
    axes = [axis["name"] for axis in node.metadata["axes"]]
    assert axes == list("tzyx")[-len(axes) :]
    assert len(node.data) == converted.levels(sample)
    for level, voxels in enumerate(node.data):
        np.testing.assert_array_equal(voxels, converted.array(sample, level)[...])
        scale, shift = placement(converted, sample, level)
        found = {step["type"]: step for step in node.metadata["coordinateTransformations"][level]}
        np.testing.assert_allclose(found["scale"]["scale"][-3:], scale)
        np.testing.assert_allclose(found["translation"]["translation"][-3:], shift)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("zarr_version", [2, 3])
def test_ngff_zarr_reads_the_position_of_every_level(make_workflow, convert, mri, zarr_version):
    if zarr_version == 3:
        converted = convert("v3")
    else:  # Not the stores above, because ngff-zarr does not support zlib.
        workflow = make_workflow({"source": [str(mri / SOURCES[T1]), str(mri / SOURCES[SERIES])]})
        workflow.config["zarr"] = {"zarr_version": 2, "chunk": 16}
        workflow()
        converted = Converted(workflow, mri)
    for sample, axes in ((T1, "zyx"), (SERIES, "tzyx")):
        images = ngff_zarr.from_ngff_zarr(str(converted.store(sample))).images
        assert len(images) == converted.levels(sample)
        for level, image in enumerate(images):
            assert "".join(image.dims) == axes
            np.testing.assert_array_equal(image.data, converted.array(sample, level)[...])
            scale, shift = placement(converted, sample, level)
            np.testing.assert_allclose([image.scale[axis] for axis in "zyx"], scale)
            np.testing.assert_allclose([image.translation[axis] for axis in "zyx"], shift)


@every_sample
def test_nifti_header_is_that_of_the_source(converted, sample):
    stored = zarr.open_array(str(converted.store(sample) / "nifti"), mode="r")
    with ImageOpener(converted.mri / SOURCES[sample]) as file:
        expected = file.read(stored.shape[0])
    assert stored[...].tobytes() == expected
    assert stored.shape[0] == {T1: 348, SERIES: 416, NIFTI2: 608}[sample]
    assert stored.attrs["Dim"] == list(converted.image(sample).shape)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@every_sample
def test_zarr2nii_restores_the_source(converted, sample, tmp_path):
    expected = converted.image(sample)
    niizarr.zarr2nii(str(converted.store(sample)), str(tmp_path / "back.nii"))
    back = nibabel.load(tmp_path / "back.nii")
    assert type(back) is type(expected)
    np.testing.assert_array_equal(back.dataobj.get_unscaled(), expected.dataobj.get_unscaled())
    np.testing.assert_array_equal(back.affine, expected.affine)
    assert back.header.get_zooms() == expected.header.get_zooms()
    assert back.header.get_xyzt_units() == expected.header.get_xyzt_units()
    assert back.header.extensions == expected.header.extensions
    lost = {"scl_slope", "scl_inter", "vox_offset"}
    for field in set(expected.header.keys()) - lost:
        np.testing.assert_array_equal(back.header[field], expected.header[field], err_msg=field)


def test_every_job_writes_a_log_and_a_benchmark(converted):
    coarsest = converted.levels(T1) - 1
    jobs = {"create_array_0", "write_base_0", "ome_metadata", "nifti_header"}
    jobs.add(f"pyramid_level_{coarsest}_0")
    for folder, suffix in (("logs", ".log"), ("benchmarks", ".tsv")):
        found = {path.name for path in (converted.workflow.directory / folder / T1).iterdir()}
        assert {job + suffix for job in jobs} <= found
    log = converted.workflow.directory / "logs" / T1 / "write_base_0.log"
    assert "0: " in log.read_text()


def test_store_contains_only_zarr_files(converted):
    for sample in SOURCES:
        names = {path.name for path in converted.store(sample).iterdir()}
        levels = {str(level) for level in range(converted.levels(sample))}
        documents = {"zarr.json"} if "zarr.json" in names else {".zgroup", ".zattrs"}
        assert names - levels - {"labels"} == documents | {"nifti"}


def test_labels_beneath_an_image_have_jobs_of_their_own(convert):
    made = convert("v2")
    labels = zarr.open_group(str(made.store(T1) / "labels"), mode="r")
    assert labels.attrs["labels"] == ["seg"]
    found = [labels[f"seg/{level}"][...] for level in "01"]
    np.testing.assert_array_equal(found[0], made.voxels(T1))
    steps = [round(a / b) for a, b in zip(found[0].shape, found[1].shape, strict=True)]
    np.testing.assert_array_equal(found[1], downsample(found[0], steps, "mode"))
    logs = made.workflow.directory / "logs" / T1 / "labels/seg"
    assert {"write_base_0.log", "nifti_header.log"} <= {path.name for path in logs.iterdir()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_sheet_with_many_kinds_of_sources(make_workflow, tmp_path):
    """Pairs, Analyze, MGZ, both byte orders, 5D, floats with NaN, labels, a given voxel size."""
    random = np.random.default_rng(0)
    affine = np.array([[0, -2, 0, 5], [1.5, 0, 0, -7], [0, 0, 3, 9], [0, 0, 0, 1.0]])
    floats = random.normal(size=(20, 21, 22)).astype("f4")
    floats[random.random(floats.shape) < 0.3] = np.nan
    images = {
        "pair.hdr": nibabel.Nifti1Pair(random.integers(0, 99, (20, 21, 22), "i2"), affine),
        "analyze.img": nibabel.Spm2AnalyzeImage(random.integers(0, 99, (20, 21, 22), "i2"), affine),
        "mgh.mgz": nibabel.MGHImage(random.integers(0, 99, (20, 21, 22, 2), "i4"), affine),
        "big.nii": nibabel.Nifti2Image(
            random.integers(0, 2**16, (20, 21, 22), "u2"),
            affine,
            nibabel.Nifti2Header(endianness=">"),
        ),
        "five.nii.gz": nibabel.Nifti1Image(random.integers(0, 9, (20, 21, 22, 2, 3), "u1"), affine),
        "floats.nii": nibabel.Nifti1Image(floats, affine),
        "labels.nii": nibabel.Nifti1Image(
            random.integers(0, 9, (20, 21, 22, 4), "u8"), affine, dtype="u8"
        ),
    }
    images["big.nii"].set_data_dtype("u2")
    lines = ["sample\tsource\taxes\tvoxel_size\tunit\tpyramid.mode"]
    for name, image in images.items():
        image.to_filename(tmp_path / name)
        extra = "czyx\t4, 5, 6\tmicron\tmode" if name == "labels.nii" else ""
        lines.append(f"{name.split('.')[0]}\t{tmp_path / name}\t{extra}")
    workflow = make_workflow({"samples": "sheet.tsv", "zarr": {"chunk": 16}})
    workflow.bundle = True
    (workflow.directory / "sheet.tsv").write_text("\n".join(lines))
    workflow()
    for name in images:
        sample = name.split(".")[0]
        store = workflow.store(sample)
        yaozarrs.validate_zarr_store(str(store))
        levels = [zarr.open_array(str(store / level), mode="r")[...] for level in "01"]
        source = nibabel.load(tmp_path / name)
        unscaled = np.asarray(getattr(source.dataobj, "get_unscaled", source.get_fdata)())
        order = (3, 4, 2, 1, 0) if unscaled.ndim == 5 else None
        np.testing.assert_array_equal(levels[0], unscaled.transpose(order))
        assert levels[0].dtype == source.get_data_dtype().newbyteorder("=")
        # Along z, voxels of 3 are not smaller than twice the smallest, 1.5; 4 is, of 4, 5 and 6.
        steps = [1] * (levels[0].ndim - 3) + [2 if sample == "labels" else 1, 2, 2]
        mode = "mode" if sample == "labels" else "mean"
        np.testing.assert_array_equal(levels[1], downsample(levels[0], steps, mode))
        back = niizarr.zarr2nii(str(store))
        if sample == "labels":
            assert back.shape == (20, 21, 22, 1, 4)
            assert back.header.get_zooms() == (6, 5, 4, 1, 1)
            assert back.header.get_xyzt_units()[0] == "micron"
        else:
            assert back.shape == source.shape
            affine = back.header.get_best_affine()
            np.testing.assert_allclose(affine, source.affine, atol=1e-5)
    assert (workflow.store("big") / "nifti").exists()
    header = zarr.open_array(str(workflow.store("big") / "nifti"), mode="r")[...].tobytes()
    assert header[:4] == (540).to_bytes(4, "big")


def test_both_drivers_write_the_same_image(workflow, convert_once, make_workflow, mri):
    workflow = convert_once(workflow.config, workflow.directory / "anatomical.nii")
    config = {"chunk": 16, "driver": "zarr-python"}
    other = make_workflow({"source": str(mri / "anatomical.nii"), "zarr": config})
    other()
    trees = [
        {name: checksum for name, checksum in run.tree().items() if name.endswith("zarr.json")}
        for run in (workflow, other)
    ]
    assert trees[0] == trees[1]
    assert workflow.tree().keys() == other.tree().keys()
    for level in "012":
        stores = [zarr.open_array(str(run.store() / level)) for run in (workflow, other)]
        np.testing.assert_array_equal(stores[0][...], stores[1][...])


def test_ome_zarr_has_no_nifti_header(workflow):
    workflow.config["nifti"] = {"nii": False}
    run = workflow()
    assert "nifti_header" not in run.jobs
    assert workflow.store().name == "anatomical.ome.zarr"
    assert not (workflow.store() / "nifti").exists()
    yaozarrs.validate_zarr_store(str(workflow.store()))


def test_store_does_not_depend_on_directory_cores_or_blocks(workflow, make_workflow, mri):
    workflow("--cores", "1")
    other = make_workflow({"source": str(mri / "anatomical.nii"), "zarr": {"chunk": 16}})
    other.config["resources"] = {"block_mb": 0.02}
    run = other("--cores", "8")
    assert run.output.count("rule write_base:") == 12
    assert workflow.tree() == other.tree()


def test_source_on_the_command_line_is_enough(root, make_workflow, mri):
    workflow = make_workflow({"output": "out", "zarr": {"chunk": 32}})
    workflow("--config", f"source={shutil.copy(mri / 'anatomical.nii', workflow.directory)}")
    text = (workflow.directory / "out/anatomical.nii.zarr/zarr.json").read_text()
    assert len(json.loads(text)["attributes"]["ome"]["multiscales"][0]["datasets"]) == 2

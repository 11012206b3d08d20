"""Zarr, OME-Zarr, NIfTI-Zarr and N5 as sources: what others wrote, in directories and over http."""

import contextlib
import functools
import http.server
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from urllib.parse import quote

import ngff_zarr
import nibabel
import numcodecs
import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given
from hypothesis import strategies as st
from niizarr import nii2zarr

from neurozarr.errors import ConfigError, SourceError
from neurozarr.samples.headers import read_template
from neurozarr.sources import open_source, stem
from neurozarr.sources.base import Layout
from neurozarr.sources.zarr import addresses, nodes
from neurozarr.sources.zarr.store import ZarrSource

from ..programs import PATIENCE
from .conversions import convert
from .families import assert_holds

SHAPE = (20, 30, 40)
RNG = np.random.default_rng(0)
VOXELS = RNG.integers(0, 60_000, SHAPE).astype("u2")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a directory, also in ranges of bytes, and counts what it is asked for."""

    def __init__(self, *args, asked, status, **options):
        self.asked, self.status = asked, status
        super().__init__(*args, **options)

    def log_message(self, *args):
        pass

    def do_GET(self):
        path = self.path.lstrip("/")
        self.asked.append(path)
        if path == self.status.get("silent"):
            self.status["ended"].wait(PATIENCE)
            return
        try:
            with open(self.translate_path(self.path), "rb") as file:
                content = file.read()
        except OSError:
            self.send_error(self.status["missing"])
            return
        if (asked := self.headers.get("Range")) and self.status["ranges"]:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start = int(first) if first else len(content) - int(last)
            end = int(last) + 1 if first and last else len(content)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
            content = content[start:end]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(http.server.ThreadingHTTPServer):
    """Accepts as many connections at once as TensorStore asks for."""

    request_queue_size = 128


@pytest.fixture
def served(tmp_path):
    """The address of a directory, what was asked for there, and how it answers."""
    asked, status = [], {"missing": 404, "ranges": True, "ended": threading.Event()}
    handler = functools.partial(Handler, directory=tmp_path, asked=asked, status=status)
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        yield SimpleNamespace(address=address, asked=asked, status=status)
        status["ended"].set()
        server.shutdown()
        thread.join()


def save(path, voxels=VOXELS, chunks=(5, 10, 10), attributes=None, **options):
    """An array by zarr-python."""
    array = zarr.create_array(
        path, shape=voxels.shape, chunks=chunks, dtype=voxels.dtype, **options
    )
    array[...] = voxels
    array.attrs.update(attributes or {})
    return path


def save_n5(path, voxels=VOXELS, block=(10, 10, 5), compression="gzip", **attributes):
    """An N5 array by TensorStore."""
    metadata = {
        "dimensions": voxels.shape[::-1],
        "dataType": voxels.dtype.name,
        "blockSize": block,
        "compression": {"type": compression},
    }
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{path}/"}, "metadata": metadata}
    tensorstore.open(spec, create=True).result()[...] = voxels.T
    add(path, **attributes)
    return path


def add(path, **attributes):
    """Add to the attributes of an N5 group or array."""
    path.mkdir(parents=True, exist_ok=True)
    file = path / "attributes.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | attributes))
    return path


def image(path, version="0.5", levels=("0",), extra=None, voxels=VOXELS, **multiscale):
    """A group with the metadata of an OME-Zarr image, and its arrays."""
    names = "tczyx"[-voxels.ndim :]
    kinds = {"t": "time", "c": "channel"}
    defaults = {
        "axes": [{"name": name, "type": kinds.get(name, "space")} for name in names],
        "datasets": [
            {
                "path": level,
                "coordinateTransformations": [{"type": "scale", "scale": [1.0] * len(names)}],
            }
            for level in levels
        ],
    }
    described = {"multiscales": [defaults | multiscale]} | (extra or {})
    zarr_format = 2 if version == "0.4" else 3
    group = zarr.create_group(path, zarr_format=zarr_format)
    group.attrs.update(described if zarr_format == 2 else {"ome": {"version": version} | described})
    for level in levels:
        save(path / level, voxels, zarr_format=zarr_format, chunks=voxels.shape)
    return path


# Arrays


@pytest.mark.parametrize(
    "options",
    [
        {"zarr_format": 3},
        {"zarr_format": 3, "shards": (10, 20, 20)},
        {"zarr_format": 3, "chunk_key_encoding": {"name": "default", "separator": "."}},
        {"zarr_format": 3, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
        {"zarr_format": 3, "filters": [zarr.codecs.TransposeCodec(order=(2, 0, 1))]},
        {"zarr_format": 3, "compressors": [zarr.codecs.GzipCodec()]},
        {"zarr_format": 3, "compressors": [zarr.codecs.BloscCodec(cname="lz4")]},
        {"zarr_format": 3, "compressors": None},
        {"zarr_format": 2},
        {"zarr_format": 2, "order": "F"},
        {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
        {"zarr_format": 2, "compressors": [numcodecs.Zlib()]},
        {"zarr_format": 2, "compressors": [numcodecs.BZ2()]},
        # TensorStore lacks these two.
        {"zarr_format": 2, "compressors": [numcodecs.LZ4()]},
        {"zarr_format": 2, "filters": [numcodecs.Delta("<u2")]},
        {"zarr_format": 2, "compressors": None},
    ],
)
def test_arrays_of_all_encodings_are_read(tmp_path, options):
    source = open_source(save(tmp_path / "a.zarr", **options))
    assert source.axes == source.file_axes == "zyx"
    assert source.native_chunk_shape == (5, 10, 10)
    assert_holds(source, VOXELS)


@pytest.mark.parametrize("dtype", ["?", "i1", ">i2", ">u4", "<u8", "f2", ">f4", "f8", "c8", ">c16"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_values_of_all_types_are_kept(tmp_path, dtype, zarr_format):
    voxels = RNG.integers(-100, 100, (4, 5, 6)).astype(dtype)
    source = open_source(save(tmp_path / "a", voxels, (2, 2, 3), zarr_format=zarr_format))
    assert_holds(source, voxels)


@pytest.mark.parametrize("compression", ["raw", "gzip", "bzip2", "xz", "blosc", "zstd"])
def test_n5_is_read_with_its_axes_reversed(tmp_path, compression):
    options = {"blosc": {"cname": "lz4", "clevel": 5, "shuffle": 1}}.get(compression, {})
    path = save_n5(tmp_path / "a.n5", VOXELS[:17, :, :33])
    shutil.rmtree(path)
    metadata = {"dimensions": [33, 30, 17], "dataType": "uint16", "blockSize": [10, 10, 5]}
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{path}/"}}
    spec["metadata"] = metadata | {"compression": {"type": compression} | options}
    tensorstore.open(spec, create=True).result()[...] = VOXELS[:17, :, :33].T
    source = open_source(path)
    assert source.native_chunk_shape == (5, 10, 10)
    assert_holds(source, VOXELS[:17, :, :33])


@pytest.fixture(scope="module", params=["v3", "sharded", "v2", "n5", "zarr-python"])
def one(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("one") / "a"
    match request.param:
        case "v3":
            save(path)
        case "sharded":
            save(path, shards=(10, 20, 20))
        case "v2":
            save(path, zarr_format=2, order="F")
        case "n5":
            save_n5(path)
        case "zarr-python":
            save(path, zarr_format=2, compressors=[numcodecs.LZ4()])
    return open_source(path)


@given(data=st.data())
def test_a_region_equals_a_slice_of_the_whole(one, data):
    assert_holds(one, VOXELS, data)


def test_threads_read_at_once(one):
    parts = [(slice(z, z + 3), slice(z, 25), slice(0, 40 - z)) for z in range(17)] * 4
    with ThreadPoolExecutor(8) as pool:
        for part, found in zip(parts, pool.map(one.read, parts), strict=True):
            np.testing.assert_array_equal(found, VOXELS[part])


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        ("zyx", "zyx"),
        ("CYX", "cyx"),
        (("time", "y", "x"), "tyx"),
        (("x", "y", "z"), "xyz"),
        (("dim_0", "dim_1", "dim_2"), "zyx"),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_axes_are_those_in_the_metadata(tmp_path, names, axes, zarr_format):
    said = {"attributes": {"_ARRAY_DIMENSIONS": list(names)}}
    if zarr_format == 3:
        said = {"dimension_names": tuple(names)}
    source = open_source(save(tmp_path / "a", zarr_format=zarr_format, **said))
    assert source.file_axes == axes
    order = sorted(range(3), key=lambda number: "tczyx".index(axes[number]))
    missing = tuple(i for i, axis in enumerate(source.axes) if axis not in axes)
    assert_holds(source, np.expand_dims(VOXELS.transpose(order), missing))


def test_unnamed_axes_are_given_by_the_user_or_by_default(tmp_path):
    assert open_source(save(tmp_path / "a", VOXELS[0], (5, 5))).file_axes == "yx"
    path = save(tmp_path / "b", VOXELS[None], (1, 5, 5, 5))
    with pytest.raises(SourceError, match=r"b: the metadata .* shape \(1, 20, 30, 40\); give axes"):
        open_source(path)
    assert_holds(open_source(path, axes="czyx"), VOXELS[None])
    with pytest.raises(SourceError, match="axes is 'zyx', but the array has shape"):
        open_source(path, axes="zyx")


def test_missing_chunks_have_the_fill_value(tmp_path):
    path = save(tmp_path / "a", fill_value=7)
    (path / "c/0/0/0").unlink()
    expected = VOXELS.copy()
    expected[:5, :10, :10] = 7
    assert_holds(open_source(path), expected)


def test_files_are_the_metadata_without_chunks(tmp_path):
    assert open_source(save(tmp_path / "a")).files == (tmp_path / "a/zarr.json",)
    source = open_source(image(tmp_path / "b", "0.4"))
    names = {str(file.relative_to(tmp_path / "b")) for file in source.files}
    assert names == {".zattrs", ".zgroup", "0/.zarray", "0/.zattrs"}


# OME-Zarr


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_of_ome_zarr_py_is_read_with_its_metadata(tmp_path, version):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it itself calls deprecated
        import ome_zarr.writer
    formats = {"0.4": ome_zarr.format.FormatV04(), "0.5": ome_zarr.format.FormatV05()}
    voxels = VOXELS.reshape(2, 3, 4, 25, 40)
    group = zarr.open_group(tmp_path / "a", mode="w", zarr_format=2 if version == "0.4" else 3)
    units = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
    ome_zarr.writer.write_image(
        voxels,
        group,
        fmt=formats[version],
        axes=list("tczyx"),
        axes_units=units,
        scale={"t": 0.5, "c": 1.0, "z": 2.0, "y": 0.25, "x": 0.125},
        scale_factors=[],
    )
    omero = {"channels": [{"label": f"C{i}", "color": f"00ff0{i}"} for i in range(3)]}
    known = {} if version == "0.4" else group.attrs["ome"]
    group.attrs.update({"omero": omero} if version == "0.4" else {"ome": known | {"omero": omero}})
    source = open_source(tmp_path / "a")
    assert source.voxel_size == (2.0, 0.25, 0.125)
    assert (source.time_step, source.time_unit, source.space_unit) == (
        0.5,
        "second",
        "micrometer",
    )
    assert source.channel_names == ("C0", "C1", "C2")
    assert source.channel_colors == ("00ff00", "00ff01", "00ff02")
    assert source.affine is None
    assert source.nifti_header is None
    assert_holds(source, voxels)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_of_ngff_zarr_with_nested_arrays_is_read(tmp_path, version):
    made = ngff_zarr.to_ngff_image(
        VOXELS,
        dims=("z", "y", "x"),
        scale={"z": 3.0, "y": 2.0, "x": 1.0},
        axes_units=dict.fromkeys("zyx", "nanometer"),
    )
    levels = ngff_zarr.to_multiscales(made, scale_factors=[], chunks=16)
    ngff_zarr.to_ngff_zarr(str(tmp_path / "a.zarr"), levels, version=version)
    source = open_source(tmp_path / "a.zarr")
    (name,) = {file.parent for file in source.files if file.parent != tmp_path / "a.zarr"}
    for found in (source, open_source(name)):
        assert (found.voxel_size, found.space_unit) == ((3, 2, 1), "nanometer")
        assert found.files == source.files
        assert_holds(found, VOXELS)


def test_a_level_can_be_named(tmp_path):
    datasets = [
        {"path": name, "coordinateTransformations": [{"type": "scale", "scale": [size] * 3}]}
        for name, size in (("a/0", 1), ("a/1", 2))
    ]
    path = image(tmp_path / "a.zarr", levels=("a/0", "a/1"), datasets=datasets)
    zarr.create_group(path / "a")
    assert open_source(path).voxel_size == (1, 1, 1)
    for source in (open_source(path, dataset="a/1"), open_source(path / "a/1")):
        assert source.voxel_size == (2, 2, 2)


def test_the_scales_of_image_and_level_are_multiplied(tmp_path):
    both = [{"type": "scale", "scale": [10.0, 100.0, 1000.0]}]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 2, 3]}]}]
    path = image(tmp_path / "a", "0.4", datasets=datasets, coordinateTransformations=both)
    assert open_source(path).voxel_size == (10, 200, 3000)


def test_different_units_are_converted_and_unknown_ignored(tmp_path):
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    axes[0]["unit"], axes[1]["unit"], axes[2]["unit"] = "millimeter", "pixel", "micrometer"
    source = open_source(image(tmp_path / "a", axes=axes))
    assert (source.voxel_size, source.space_unit) == ((1000, 1, 1), "micrometer")


@pytest.mark.parametrize(
    ("described", "axes"),
    [({"axes": ["z", "y", "x"]}, "zyx"), ({"axes": None}, "tczyx")],
)
def test_versions_before_0_4_are_read_without_a_voxel_size(tmp_path, caplog, described, axes):
    voxels = VOXELS.reshape((1,) * (len(axes) - 3) + SHAPE)
    path = image(tmp_path / "a", "0.4", voxels=voxels, datasets=[{"path": "0"}], **described)
    if described["axes"] is None:
        group = zarr.open_group(path)
        del (known := group.attrs["multiscales"])[0]["axes"]
        group.attrs["multiscales"] = known
    source = open_source(path)
    assert "the voxel size is unknown" in caplog.text
    assert_holds(source, voxels)


def test_rfc4_orientations_give_an_affine_with_translation(tmp_path):
    ways = ("superior-to-inferior", "left-to-right", "anterior-to-posterior")
    axes = [
        {"name": n, "type": "space", "orientation": {"type": "anatomical", "value": way}}
        for n, way in zip("zyx", ways, strict=True)
    ]
    steps = [
        {"type": "scale", "scale": [3.0, 2.0, 1.0]},
        {"type": "translation", "translation": [30.0, 20.0, 10.0]},
    ]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    source = open_source(image(tmp_path / "a", axes=axes, datasets=datasets))
    expected = [[0, 2, 0, 20], [-1, 0, 0, -10], [0, 0, -3, -30], [0, 0, 0, 1]]
    np.testing.assert_array_equal(source.affine, expected)
    del axes[0]["orientation"]
    assert open_source(image(tmp_path / "b", axes=axes, datasets=datasets)).affine is None


def test_an_unsupported_transformation_is_a_warning(tmp_path, caplog):
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "rotation"}]}]
    open_source(image(tmp_path / "a", datasets=datasets))
    assert "transformations of type rotation are not supported" in caplog.text


def test_one_image_of_a_collection_must_be_named(tmp_path):
    root = tmp_path / "a.zarr"
    zarr.create_group(root, attributes={"ome": {"bioformats2raw.layout": 3}})
    image(root / "0")
    assert_holds(open_source(root), VOXELS)
    image(root / "1", voxels=VOXELS[::-1])
    with pytest.raises(SourceError, match=r"a\.zarr: several images; name one by .*: 0, 1$"):
        open_source(root)
    assert_holds(open_source(root, dataset="1"), VOXELS[::-1])
    assert_holds(open_source(root, dataset="/1/0"), VOXELS[::-1])
    zarr.create_group(root / "OME", attributes={"ome": {"series": ["1"]}})
    assert_holds(open_source(root), VOXELS[::-1])


def test_labels_wells_and_plain_arrays_are_found(tmp_path):
    root = image(tmp_path / "a.zarr")
    zarr.create_group(root / "labels", attributes={"ome": {"labels": ["nuclei"]}})
    image(root / "labels/nuclei", voxels=VOXELS + 1)
    for name in ("labels", "labels/nuclei", "labels/nuclei/0"):
        assert_holds(open_source(root, dataset=name), VOXELS + 1)
    plate = tmp_path / "plate.zarr"
    wells = {"plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}}
    zarr.create_group(plate, attributes={"ome": wells})
    for name in ("A/1", "B/2"):
        well = {"well": {"images": [{"path": "0"}]}}
        zarr.create_group(plate / name, attributes={"ome": well})
        image(plate / name / "0")
    with pytest.raises(SourceError, match=r"several images; .*: A/1/0, B/2/0$"):
        open_source(plate)
    assert_holds(open_source(plate, dataset="A/1"), VOXELS)
    zarr.create_group(tmp_path / "b")
    save(tmp_path / "b/raw")
    assert_holds(open_source(tmp_path / "b"), VOXELS)


# NIfTI-Zarr


@pytest.fixture
def nii(tmp_path):
    header = nibabel.Nifti1Header(endianness=">")
    header.set_xyzt_units("mm", "sec")
    header["descrip"] = b"as it was"
    header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"hello"))
    affine = np.array([[0, -1, 0, 3], [2, 0, 0, 4], [0, 0, 3, 5], [0, 0, 0, 1.0]])
    made = nibabel.Nifti1Image(VOXELS[:5].astype(">i2"), affine, header)
    made.header.set_slope_inter(2.5, 1)
    made.to_filename(tmp_path / "a.nii")
    return open_source(tmp_path / "a.nii")


@pytest.mark.parametrize(
    "config",
    [
        {"zarr": {"chunk": 8, "shard": 16}},
        {"zarr": {"chunk": 8}, "ome": {"ome_version": "0.6"}},
        {"zarr": {"chunk": 8, "zarr_version": 2}},
    ],
    ids=["0.5", "0.6", "0.4"],
)
def test_converting_a_store_keeps_its_header_and_voxels(tmp_path, nii, config):
    first, _ = convert(tmp_path / "a.nii", tmp_path / "1", config)
    second, _ = convert(first, tmp_path / "2", {"zarr": {"chunk": 5, "shard": 15}})
    expected = nii.read(tuple(slice(0, length) for length in nii.shape))
    for path in (first, second):
        source = open_source(path)
        assert source.nifti_header == nii.nifti_header
        assert (source.slope, source.inter) == (nii.slope, nii.inter) == (2.5, 1)
        assert (source.voxel_size, source.space_unit) == (nii.voxel_size, "millimeter")
        np.testing.assert_array_equal(source.affine, nii.affine)
        assert_holds(source, expected)


def test_a_level_has_the_header_of_its_export(tmp_path, nii):
    config = {"zarr": {"chunk": 8}, "pyramid": {"factors": 2}}
    store, _ = convert(tmp_path / "a.nii", tmp_path / "1", config)
    source = open_source(store / "1")
    assert source.voxel_size == tuple(2 * size for size in nii.voxel_size)
    np.testing.assert_allclose(source.affine @ [0, 0, 0, 1], nii.affine @ [0.5, 0.5, 0.5, 1])


def test_a_level_whose_level_0_has_scale_0_is_refused(tmp_path, nii):
    store, _ = convert(tmp_path / "a.nii", tmp_path / "1", {"zarr": {"chunk": 8}})
    document = json.loads((store / "zarr.json").read_text())
    (image,) = document["attributes"]["ome"]["multiscales"]
    image["datasets"][0]["coordinateTransformations"][0]["scale"] = [0, 0, 0]
    (store / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(SourceError, match=r"1: its metadata are invalid \(float division"):
        open_source(store / "1")


def test_ome_zarr_0_6_keeps_its_anatomical_coordinates(tmp_path, nii):
    config = {"zarr": {"chunk": 8}, "ome": {"ome_version": "0.6"}, "nifti": {"nii": False}}
    config["pyramid"] = {"factors": 2}
    store, _ = convert(tmp_path / "a.nii", tmp_path / "1", config)
    source = open_source(store)
    assert source.nifti_header is None
    np.testing.assert_allclose(source.affine, nii.affine)
    shift = nii.affine @ [0.5, 0.5, 0.5, 1]
    np.testing.assert_allclose(open_source(store, dataset="1").affine[:, 3], shift)


def test_converting_a_store_keeps_colours(tmp_path):
    voxels = RNG.integers(0, 255, (4, 5, 6, 3)).astype("u1").view([(c, "u1") for c in "RGB"])
    nibabel.Nifti1Image(voxels[..., 0], np.eye(4)).to_filename(tmp_path / "a.nii")
    first, _ = convert(tmp_path / "a.nii", tmp_path / "1")
    second, _ = convert(first, tmp_path / "2")
    for name in ("zarr.json", "c/0"):
        known = [(store / "nifti" / name).read_bytes() for store in (first, second)]
        assert known[0] == known[1]
    assert open_source(second).nifti_header == open_source(tmp_path / "a.nii").nifti_header


def test_a_store_of_niizarr_is_read_with_its_header(tmp_path, mri):
    nii2zarr(str(mri / "functional.nii"), str(tmp_path / "a.nii.zarr"))
    source, file = open_source(tmp_path / "a.nii.zarr"), open_source(mri / "functional.nii")
    assert_holds(source, file.read(tuple(slice(0, length) for length in file.shape)))
    assert source.nifti_header[:348] == file.nifti_header[:348]
    assert (source.slope, source.inter) == (file.slope, file.inter)
    assert (source.space_unit, source.time_step) == ("millimeter", file.time_step)
    np.testing.assert_allclose(source.voxel_size, file.voxel_size)
    np.testing.assert_array_equal(source.affine, file.affine)


def test_errors_name_a_damaged_header(tmp_path, nii):
    store, _ = convert(tmp_path / "a.nii", tmp_path / "1")
    (store / "nifti/c/0").write_bytes(b"hello")
    with pytest.raises(SourceError, match=r"a\.nii\.zarr/nifti: the NIfTI header cannot be read"):
        open_source(store)


# N5


@pytest.mark.parametrize(
    ("array", "group"),
    [
        ({"resolution": [1, 2, 3], "units": ["nm", "nm", "nm"]}, {}),
        ({"pixelResolution": [1, 2, 3], "unit": "nm"}, {}),
        ({"pixelResolution": [1, 2, 3]}, {"units": "nm"}),
        ({"pixelResolution": {"dimensions": [1, 2, 3], "unit": "nm"}}, {}),
        ({}, {"resolution": [1, 2, 3], "unit": "nm", "multiScale": True}),
        ({"downsamplingFactors": [1, 1, 3]}, {"resolution": [1, 2, 1], "unit": "nm"}),
        ({}, {"pixelResolution": {"dimensions": [1, 2, 1], "unit": "nm"}, "scales": [[1, 1, 3]]}),
        ({"transform": {"axes": [*"zyx"], "scale": [3, 2, 1], "units": ["nm"] * 3}}, {}),
    ],
)
def test_the_voxel_size_is_found_in_all_dialects_of_n5(tmp_path, array, group):
    root = add(tmp_path / "a.n5", n5="2.5.1")
    add(root / "setup0/timepoint0", **group)
    save_n5(root / "setup0/timepoint0/s0", **array)
    save_n5(root / "setup0/timepoint0/s1", VOXELS[::2, ::2, ::2], **array)
    for path in (root, root / "setup0/timepoint0/s0"):
        source = open_source(path)
        assert (source.voxel_size, source.space_unit) == ((3, 2, 1), "nanometer")
        groups = {root, *(root / "setup0/timepoint0" / name for name in ("", "s0"))}
        found = {file.parent for file in source.files}
        assert found == (groups if path == root else groups - {root})
        assert_holds(source, VOXELS)


def test_axes_of_n5_are_listed_fastest_first(tmp_path):
    voxels = VOXELS.reshape(4, 5, 30, 40)
    path = save_n5(tmp_path / "a.n5", voxels, (10, 10, 5, 1), axes=["x", "y", "c", "z"])
    source = open_source(path)
    assert source.file_axes == "zcyx"
    assert_holds(source, voxels.transpose(1, 0, 2, 3))


def test_axes_of_n5_may_have_any_form(tmp_path):
    """As z5py writes them: TensorStore alone refuses a text."""
    path = save_n5(tmp_path / "a.n5", axes="xyz", units="nm", resolution=None)
    assert_holds(open_source(path), VOXELS)
    for key in ("blockSize", "compression"):
        document = json.loads((path / "attributes.json").read_text())
        del document[key]
        (path / "attributes.json").write_text(json.dumps(document))
        with pytest.raises(SourceError, match=rf"its metadata are invalid \('{key}' is missing"):
            open_source(path)
        (path / "attributes.json").write_text(json.dumps(document | {key: None}))
        with pytest.raises(SourceError, match=r"a\.n5: the array cannot be opened"):
            open_source(path)
        add(path, blockSize=[10, 10, 5])


def test_setups_of_n5_are_listed(tmp_path):
    root = add(tmp_path / "a.n5", n5="2.5.1")
    for setup in (0, 1):
        save_n5(root / f"setup{setup}/timepoint0/s0", VOXELS + setup)
    names = "setup0/timepoint0/s0, setup1/timepoint0/s0"
    with pytest.raises(SourceError, match=f"several images; name one by dataset: {names}$"):
        open_source(root)
    assert_holds(open_source(root, dataset="setup1/timepoint0"), VOXELS + 1)


def test_n5_is_converted_with_its_voxel_size(tmp_path):
    root = add(tmp_path / "a.n5", n5="2.5.1", resolution=[1, 2, 3], units=["nm"] * 3)
    save_n5(root / "raw/s0")
    config = {"zarr": {"chunk": 16, "zarr_version": 2}}
    store, sample = convert(root, tmp_path / "1", config)
    assert sample.name == "a"
    source = open_source(store)
    assert (source.voxel_size, source.space_unit) == ((3, 2, 1), "nanometer")
    assert nibabel.Nifti1Header(source.nifti_header).get_data_shape() == SHAPE[::-1]
    assert_holds(source, VOXELS)


# Addresses


@pytest.mark.parametrize("kind", ["0.4", "0.5", "array", "sharded", "n5", "zarr-python"])
def test_a_store_is_read_over_http(tmp_path, served, kind):
    path = tmp_path / "a"
    match kind:
        case "array":
            save(path)
        case "sharded":
            save(path, shards=(10, 20, 20))
        case "n5":
            save_n5(path)
        case "zarr-python":
            save(path, zarr_format=2, compressors=[numcodecs.LZ4()])
        case _:
            image(path, kind)
    source = open_source(f"{served.address}/a")
    assert source.files == ()
    assert not any(file.startswith(("a/c", "a/0/c", "a/0.", "a/0/0")) for file in served.asked)
    assert_holds(source, VOXELS)
    source.check()


@pytest.mark.parametrize("compressor", [numcodecs.Zlib(), numcodecs.LZ4()])
def test_names_may_have_any_characters(tmp_path, served, compressor):
    for name in ("a b", "ü%20", "{a}", "c:d"):
        path = save(tmp_path / name, zarr_format=2, compressors=[compressor])
        assert_holds(open_source(path), VOXELS)
        assert_holds(open_source(f"{served.address}/{quote(name)}"), VOXELS)
    assert_holds(open_source(save(tmp_path / "q?#")), VOXELS)


@pytest.mark.parametrize("kind", ["v3", "v2", "n5", "zarr-python"])
@pytest.mark.parametrize(
    "spelling", ["./a.n5", "../{}/a.n5", "x/../a.n5", "x//..//./a.n5/", "link/../a.n5", "b\\c.n5"]
)
def test_paths_are_resolved_as_in_a_shell(tmp_path, monkeypatch, kind, spelling):
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/deep")
    monkeypatch.chdir(tmp_path)
    path = spelling.format(tmp_path.name)
    place = os.path.realpath(path)
    if kind == "n5":
        written = save_n5(tmp_path / "written", VOXELS)
    else:
        options = {"v3": {}, "v2": {"zarr_format": 2}}
        lz4 = {"zarr_format": 2, "compressors": [numcodecs.LZ4()]}
        written = save(tmp_path / "written", **options.get(kind, lz4))
    os.rename(written, place)
    (tmp_path / "b/c.n5").mkdir(parents=True)  # Not to be taken for the one with a backslash.
    assert_holds(open_source(path), VOXELS)


def test_only_the_chunks_of_a_region_are_read(tmp_path, served):
    save(tmp_path / "a")
    source = open_source(f"{served.address}/a")
    served.asked.clear()
    source.read((slice(5, 10), slice(8, 12), slice(0, 10)))
    assert sorted(served.asked) == ["a/c/1/0/0", "a/c/1/1/0"]


def test_a_server_may_deny_missing_documents(tmp_path, served):
    image(tmp_path / "a", "0.4")
    served.status["missing"] = 403
    assert_holds(open_source(f"{served.address}/a"), VOXELS)
    with pytest.raises(SourceError, match=r"/b: neither Zarr nor N5: .* \(403 Forb"):
        open_source(f"{served.address}/b")


def test_consolidated_metadata_list_arrays_at_a_url(tmp_path, served):
    for zarr_format in (2, 3):
        path = tmp_path / str(zarr_format)
        zarr.create_group(path, zarr_format=zarr_format)
        for name in "ab":
            save(path / name, zarr_format=zarr_format)
        with pytest.raises(SourceError, match="no array or image found in it; give"):
            open_source(f"{served.address}/{zarr_format}")
        with pytest.warns() if zarr_format == 3 else pytest.MonkeyPatch.context():
            zarr.consolidate_metadata(path)
        with pytest.raises(SourceError, match=r"several images; name one by dataset: a, b$"):
            open_source(f"{served.address}/{zarr_format}")
        assert_holds(open_source(f"{served.address}/{zarr_format}", dataset="b"), VOXELS)


def test_images_and_labels_are_found_at_a_url(tmp_path, served):
    zarr.create_group(tmp_path / "a", attributes={"ome": {"bioformats2raw.layout": 3}})
    for name in "01":
        image(tmp_path / "a" / name)
    image(tmp_path / "a/0/labels/nuclei")
    (tmp_path / "a/OME").mkdir()
    (tmp_path / "a/OME/METADATA.ome.xml").write_text(
        '<OME><Image Name="A"/><Image Name="B"/></OME>'
    )
    members = ZarrSource.images(f"{served.address}/a", Layout())
    assert members == [("0", "A"), ("1", "B")]
    assert open_source(f"{served.address}/a", dataset="0").labels is None
    for path, dataset in (("a", "0/labels/nuclei"), ("a/0", "labels/nuclei")):
        assert open_source(f"{served.address}/{path}", dataset=dataset).labels == {}
    # A directory called labels is not enough.
    assert open_source(f"{served.address}/a/0/labels/nuclei").labels is None
    zarr.create_group(tmp_path / "a/0/labels")
    assert open_source(f"{served.address}/a/0/labels/nuclei").labels == {}


def test_an_image_over_http_is_converted(tmp_path, served, nii):
    convert(tmp_path / "a.nii", tmp_path / "1")
    store, sample = convert(f"{served.address}/1/a.nii.zarr", tmp_path / "2")
    assert sample.name == "a"
    assert open_source(store).nifti_header == nii.nifti_header
    assert_holds(open_source(store), nii.read(tuple(slice(0, length) for length in nii.shape)))


@pytest.mark.parametrize("name", ["fsspec", "aiohttp"])
def test_errors_name_the_extra_if_a_library_is_missing(tmp_path, served, monkeypatch, name):
    save(tmp_path / "a", zarr_format=2, compressors=[numcodecs.LZ4()])
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        SourceError, match=rf"{name} is needed: pip install 'aiohttp>=[0-9.]+' 'fsspec>="
    ):
        open_source(f"{served.address}/a")


def test_errors_name_a_server_that_fails_or_is_missing(tmp_path, served, monkeypatch):
    retries = {"max_retries": 1, "initial_delay": "1ms", "max_delay": "1ms"}
    context = {**nodes._CONTEXT, "http_request_retries": retries}
    monkeypatch.setattr(nodes, "_CONTEXT", context)
    monkeypatch.setattr(addresses, "DELAYS", (0.01,))
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9/a/zarr\.json: .*connect"):
        open_source("http://127.0.0.1:9/a")
    with pytest.raises(SourceError, match=f"^{served.address}/b: neither Zarr nor N5"):
        open_source(f"{served.address}/b")
    source = open_source(f"{served.address}/{save(tmp_path / 'a').name}")
    (tmp_path / "a/c/0/0/0").unlink()
    served.status["missing"] = 503
    with pytest.raises(
        SourceError, match=f"{served.address}/a: the voxels cannot be read .*Unavailable"
    ):
        source.read((slice(0, 5),) * 3)
    with pytest.raises(
        SourceError, match=f"{served.address}/c/zarr.json: it cannot be read .*Unavailable"
    ):
        open_source(f"{served.address}/c")


class Endless(http.server.BaseHTTPRequestHandler):
    """Answers with nothing, or with spaces, slowly or fast.

    It ends some time, or after a GiB, so that a test which waits for it fails and does not hang.
    """

    def log_message(self, *args):
        pass

    def do_GET(self):
        kind = self.path.split("/")[1]
        if kind == "silent":
            self.server.ended.wait(PATIENCE)
            return
        self.send_response(200)
        self.end_headers()
        size, pause, most = (1, 0.1, 600) if kind == "slow" else (2**20, 0, 2**30)
        with contextlib.suppress(OSError):
            while self.server.sent < most and not self.server.ended.wait(pause):
                self.wfile.write(b" " * size)
                self.server.sent += size


@pytest.fixture
def endless():
    with Server(("127.0.0.1", 0), Endless) as server:
        server.ended, server.sent = threading.Event(), 0
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["silent", "slow", "fast"])
def test_an_endless_answer_is_given_up(endless, monkeypatch, kind):
    monkeypatch.setattr(addresses, "TIMEOUT", PATIENCE if kind == "fast" else 0.5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = "more than 67108864 bytes" if kind == "fast" else "no whole answer within 0.5 s"
    with pytest.raises(SourceError, match=rf"/{kind}/zarr\.json: .*{message}"):
        open_source(f"http://127.0.0.1:{endless.server_port}/{kind}")
    assert endless.sent < 2 * addresses.MAX_BYTES
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * 1024 < 4 * addresses.MAX_BYTES


def test_a_server_that_sends_no_chunk_is_given_up(tmp_path, served):
    """In a process of its own: TensorStore reads its limits once."""
    save(tmp_path / "a", compressors=None)
    script = """if True:
        import sys
        from neurozarr.errors import SourceError
        from neurozarr.sources import open_source
        try:
            open_source(sys.argv[1]).read((slice(0, 5),) * 3)
        except SourceError as error:
            print(error)
        """
    served.status["silent"] = "a/c/0/0/0"
    environment = os.environ | {"TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, f"{served.address}/a"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "/a: the voxels cannot be read" in done.stdout, done
    assert "Operation too slow" in done.stdout
    assert served.asked.count("a/c/0/0/0") == 1 + addresses.RETRIES["max_retries"]


def test_servers_are_given_up_after_half_a_minute():
    """What README promises, of documents and of chunks."""
    assert addresses.TIMEOUT <= 30
    silence = int(addresses._TENSORSTORE_TIMEOUTS["TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS"])
    retries = addresses.RETRIES["max_retries"]
    # TensorStore waits between two tries, twice as long each time.
    waits = sum(0.5 * 2**number for number in range(retries))
    assert addresses.RETRIES["initial_delay"] == "500ms"
    assert (1 + retries) * silence + waits <= 30


# What is refused


@pytest.mark.parametrize("kind", ["2", "3", "sharded", "n5", "zarr-python"])
def test_a_chunk_that_is_a_pipe_or_directory_is_refused(tmp_path, kind):
    path = tmp_path / "a"
    match kind:
        case "n5":
            save_n5(path)
        case "sharded":
            save(path, shards=(10, 20, 20))
        case "zarr-python":
            save(path, zarr_format=2, compressors=[numcodecs.LZ4()])
        case _:
            save(path, zarr_format=int(kind), chunk_key_encoding={"name": "v2", "separator": "/"})
    names = {"n5": "1/2/3", "sharded": "c/1/1/0", "zarr-python": "3.2.1"}
    chunk = path / names.get(kind, "3/2/1")
    chunk.unlink()
    os.mkfifo(chunk)
    source = open_source(path)
    source.read((slice(0, 5), slice(0, 10), slice(0, 10)))
    with pytest.raises(SourceError, match=f"{chunk}: a directory, a pipe or a device, not a file"):
        source.read((slice(14, 17), slice(20, 21), slice(9, 11)))


@pytest.mark.parametrize("name", ["zarr.json", ".zarray", ".zattrs", "attributes.json"])
def test_a_document_that_is_a_pipe_is_refused(tmp_path, name):
    path = save(tmp_path / "a", zarr_format=3 if name == "zarr.json" else 2)
    if name == "attributes.json":
        shutil.rmtree(path)
        save_n5(path)
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    with pytest.raises(SourceError, match=rf"a/{name}: a directory, a pipe or a device, not a fi"):
        open_source(path)


def test_a_header_that_is_a_pipe_is_refused(tmp_path, nii):
    store, _ = convert(tmp_path / "a.nii", tmp_path / "1")
    (chunk,) = (store / "nifti/c").rglob("*")
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(SourceError, match=f"{chunk}: a directory, a pipe or a device, not a file"):
        open_source(store)
    with pytest.raises(ConfigError, match=f"{chunk}: a directory, a pipe or a device, not a file"):
        read_template(store)


def test_documents_have_a_maximum_depth_and_size(tmp_path, monkeypatch):
    path = save(tmp_path / "a")
    document = path / "zarr.json"
    document.write_text(200_000 * '{"a":' + "0" + 200_000 * "}")
    with pytest.raises(SourceError, match=r"zarr\.json: damaged: JSON nested too deep$"):
        open_source(path)
    monkeypatch.setattr(nodes, "MAX_BYTES", 1000)
    document.write_bytes(b" " * 1001)
    with pytest.raises(
        SourceError, match=r"zarr\.json: damaged: a document of more than 1000 bytes"
    ):
        open_source(path)


@pytest.mark.parametrize("version", [2, 3])
def test_a_group_that_contains_itself_is_refused(tmp_path, version):
    zarr.create_group(tmp_path / "a", zarr_format=version)
    zarr.create_group(tmp_path / "a/b", zarr_format=version)
    (tmp_path / "a/b/c").symlink_to(tmp_path / "a")
    with pytest.raises(SourceError, match=r"a/b/c: a link to .*/a, which contains it"):
        open_source(tmp_path / "a")


def test_groups_have_a_maximum_depth(tmp_path):
    path = tmp_path / "a"
    for _ in range(70):
        zarr.create_group(path)
        path /= "b"
    with pytest.raises(SourceError, match="more than 64 nested groups"):
        open_source(tmp_path / "a")


def test_paths_without_a_store_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"a\.zarr: there is no such directory"):
        open_source(tmp_path / "a.zarr")
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "c.zarr").write_text("hello")
    for name in "bc":
        with pytest.raises(
            SourceError, match=rf"{name}\.zarr: neither Zarr nor N5: it has none of zarr"
        ):
            open_source(tmp_path / f"{name}.zarr")
    (tmp_path / "d").mkdir()
    with pytest.raises(SourceError, match="no TIFF, PNG or JPEG 2000 slices, DICOM series"):
        open_source(tmp_path / "d")
    with pytest.raises(SourceError, match=r"the URL of a store must not contain \? or #"):
        open_source("https://127.0.0.1/a.zarr?key=1")
    with pytest.raises(SourceError, match="shape is '1,2', but does not apply to this format"):
        open_source(save(tmp_path / "e"), shape="1,2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello", r"a/zarr\.json: damaged: not JSON"),
        ("[]", r"a/zarr\.json: damaged: not a JSON object"),
        ("{}", r"a: its metadata are invalid \('node_type' is missing"),
        (
            '{"node_type": "array", "zarr_format": 3}',
            "a: the array cannot be opened by TensorStore",
        ),
    ],
)
def test_errors_name_damaged_metadata(tmp_path, content, message):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/zarr.json").write_text(content)
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path / "a")


def spots(document, path=()):
    """Where in a document there are values."""
    keys = range(len(document)) if isinstance(document, list) else document
    for key in keys if isinstance(document, dict | list) else ():
        yield (*path, key)
        yield from spots(document[key], (*path, key))


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """Stores of which much is known, and each of their documents."""
    root = tmp_path_factory.mktemp("documents")
    nibabel.Nifti1Image(np.zeros((4, 5, 6, 2), "i2"), np.eye(4)).to_filename(root / "a.nii")
    stores = [
        convert(root / "a.nii", root / "3", {"ome": {"ome_version": "0.6"}})[0],
        convert(root / "a.nii", root / "2", {"zarr": {"zarr_version": 2}})[0],
        add(root / "n.n5", resolution=[1, 2, 3], units=["nm"] * 3, scales=[[1, 1, 1]]),
    ]
    tags = {"axes": [{"key": axis, "resolution": 2} for axis in "zyx"]}
    save_n5(root / "n.n5/raw/s0", axes=[*"xyz"], axistags=tags, axis_units={"z": "um"})
    with_labels = {"image-label": {"colors": [{"label-value": 1, "rgba": [1, 2, 3, 4]}]}}
    omero = {"channels": [{"label": "a", "color": "F00", "window": {"start": 1, "end": 2}}]}
    stores.append(image(root / "m", extra=with_labels | {"omero": omero}))
    names = ("zarr.json", ".zattrs", ".zarray", ".zgroup", "attributes.json")
    return [
        (store, file)
        for store in stores
        for file in sorted(store.rglob("*"))
        if file.name in names and file.parent.name in (store.name, "0", "nifti", "s0")
    ]


BAD = [None, [], {}, "x", -1, 0, 1e400, True, [1], {"a": 1}, [None], ["a", "b"], 10**30, [[1]]]


@given(data=st.data())
def test_any_metadata_are_read_or_refused(documents, data):
    store, file = data.draw(st.sampled_from(documents))
    text = file.read_text()
    changed = document = json.loads(text)
    *path, last = data.draw(st.sampled_from(list(spots(document))))
    for key in path:
        changed = changed[key]
    changed[last] = data.draw(st.sampled_from(BAD))
    file.write_text(json.dumps(document))
    try:
        with contextlib.suppress(SourceError):
            open_source(store)
        with contextlib.suppress(SourceError):
            ZarrSource.images(str(store), Layout())
    finally:
        file.write_text(text)


def test_errors_name_damaged_metadata_of_an_image(tmp_path):
    path = image(tmp_path / "a", datasets=[{"path": "9"}])
    with pytest.raises(SourceError, match="a/9: level 0 of the image is missing"):
        open_source(path)
    path = image(tmp_path / "b", axes=[{"name": "y"}, {"name": "x"}])
    with pytest.raises(SourceError, match="b/0: the image has 2 axes, but the array has 3 dim"):
        open_source(path)
    path = image(tmp_path / "c", datasets=[])
    with pytest.raises(SourceError, match="c: its metadata are invalid"):
        open_source(path)
    zarr.create_group(tmp_path / "e", attributes={"ome": {"well": {"images": [{"path": "."}]}}})
    with pytest.raises(SourceError, match=r"e: damaged: its metadata list an image '\.'"):
        open_source(tmp_path / "e")
    scale = [{"type": "scale", "scale": [1.0, 0.0, 1.0]}]
    path = image(tmp_path / "d", datasets=[{"path": "0", "coordinateTransformations": scale}])
    assert open_source(path).voxel_size == (1, 1, 1)


def test_errors_list_datasets_if_one_is_missing(tmp_path):
    path = image(tmp_path / "a")
    for name in ("b", "0/b"):
        with pytest.raises(
            SourceError, match=f"dataset is '{name}', but there is no such array or group"
        ):
            open_source(path, dataset=name)
    with pytest.raises(SourceError, match=r"dataset is '\.\./b'; give names of groups"):
        open_source(path, dataset="../b")
    zarr.create_group(tmp_path / "b")
    save(tmp_path / "b/raw")
    with pytest.raises(SourceError, match=r"no such array or group; there are: raw$"):
        open_source(tmp_path / "b", dataset="row")


@pytest.mark.parametrize("zarr_format", [2, 3, "n5"])
def test_an_unknown_codec_is_refused(tmp_path, zarr_format):
    if zarr_format == "n5":
        add(save_n5(tmp_path / "a"), compression={"type": "other"})
    else:
        save(tmp_path / "a", zarr_format=zarr_format)
        file = tmp_path / "a" / ("zarr.json" if zarr_format == 3 else ".zarray")
        document = json.loads(file.read_text())
        if zarr_format == 3:
            document["codecs"][-1] = {"name": "other", "configuration": {}}
        else:
            document["compressor"] = {"id": "other"}
        file.write_text(json.dumps(document))
    with pytest.raises(SourceError, match=r"a: the array cannot be opened .*other"):
        open_source(tmp_path / "a")


def test_unsupported_types_are_refused(tmp_path):
    records = np.zeros((2, 3), [("a", "u1"), ("b", "f4")])
    with pytest.raises(SourceError, match="cannot be stored in Zarr"):
        open_source(save(tmp_path / "a", records, (2, 3), zarr_format=2))
    with pytest.raises(SourceError, match="cannot be stored in Zarr"):
        open_source(save(tmp_path / "b", np.zeros((2, 3), "S5"), (2, 3), zarr_format=2))
    zarr.create_array(tmp_path / "c", shape=(0, 3), dtype="u1", chunks=(1, 3))
    with pytest.raises(SourceError, match="the array is empty"):
        open_source(tmp_path / "c")


@pytest.mark.parametrize("options", [{"compressors": None}, {}, {"shards": (10, 20, 20)}])
def test_errors_name_a_damaged_chunk(tmp_path, options):
    path = save(tmp_path / "a.zarr", **options)
    chunk = path / "c/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-5])
    source = open_source(path)
    with pytest.raises(SourceError, match=r"a\.zarr: the voxels cannot be read .*c/0/0/0") as found:
        source.read((slice(0, 5),) * 3)
    assert "tensorstore_spec" not in str(found.value)


def test_errors_name_a_server_without_range_requests(tmp_path, served):
    save(tmp_path / "a", shards=(10, 20, 20))
    source = open_source(f"{served.address}/a")
    served.status["ranges"] = False
    with pytest.raises(
        SourceError, match=r"/a: the voxels .*range \[-\d+, \?\) was ignored by server"
    ):
        source.read((slice(0, 5),) * 3)


def test_a_store_is_named_after_its_directory():
    assert stem("x/a.b.ome.zarr/") == "a.b"
    assert stem("https://example.org/x/a.nii.zarr") == "a"
    assert stem("a.n5") == "a"

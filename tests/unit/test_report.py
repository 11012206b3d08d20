"""Pages of stores: what they show, whatever is in the metadata, and that they replace nothing."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import nibabel
import numcodecs
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import zarr
from PIL import Image as Pillow

import neurozarr
from neurozarr.errors import DamageError, OwnershipError
from neurozarr.report import facts, page_records
from neurozarr.report.figures import Painter
from neurozarr.report.image import read_image
from neurozarr.report.index import render, write_index
from neurozarr.report.matching import labels_at
from neurozarr.report.page import make_page
from neurozarr.run.paths import StorePaths
from neurozarr.samples import arguments
from neurozarr.samples.reading import read_run
from neurozarr.steps.convert_bundle import convert_sample
from neurozarr.steps.report_sample import report_sample
from neurozarr.zarr.documents import read_record

from . import others

#: Would be run by a browser, or close what surrounds it, if it were not escaped.
HOSTILE = "\"'></title></style><script>alert(1)</script><img src=x onerror=alert(1)>&amp;"


class Elements(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def picture(source):
    """The pixels of a picture in a page: grey, or red, green and blue."""
    image = Pillow.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    return np.asarray(image if image.mode == "L" else image.convert("RGB"))


def convert(source, output, **options):
    """Convert a source; return the paths of its store, and the arguments of the step."""
    neurozarr.convert(source, output, **options)
    run, samples = read_run(options | {"source": str(source), "output": str(output)})
    (name,) = samples
    told = arguments.report_sample(samples[name], run, directory="/somewhere")
    return run.paths(name), told | {"benchmarks_in": "none"}


@pytest.fixture(scope="module")
def brain(tmp_path_factory, mri):
    folder = tmp_path_factory.mktemp("brain")
    return convert(mri / "example4d.nii.gz", folder, zarr={"chunk": 32})


def test_pictures_have_the_voxels_of_the_source(brain, mri):
    page = Elements(make_page(brain[0], **brain[1]).html)
    image = nibabel.as_closest_canonical(nibabel.load(mri / "example4d.nii.gz"))
    voxels = np.asarray(image.dataobj)[..., 0]
    axial, coronal, sagittal = page.of("img")[:3]
    window = read_image(brain[0].store, 3, driver="tensorstore").channels[0].window
    for shown, plane in (
        (axial, voxels[:, :, 12]),
        (coronal, voxels[:, 48]),
        # The image is stored from right to left.
        (sagittal, voxels[127 - 64]),
    ):
        scaled = np.clip((plane.T[::-1] - window[0]) / (window[1] - window[0]), 0, 1)
        np.testing.assert_array_equal(picture(shown["src"]), np.rint(scaled * 255))
    assert axial["alt"] == ("Axial of level 0, z 12 of 24; edges: left, right, anterior, posterior")


def test_voxels_have_their_real_proportions(brain):
    page = Elements(make_page(brain[0], **brain[1]).html)
    shown = [figure["style"] for figure in page.of("figure")[:3]]
    sizes = [[float(size) for size in re.findall(r"--[wh]: ([\d.]+)", style)] for style in shown]
    np.testing.assert_allclose(
        sizes, [(128 * 2, 96 * 2), (128 * 2, 24 * 2.2), (96 * 2, 24 * 2.2)], rtol=1e-5
    )


def test_page_has_the_facts_of_the_store(brain):
    text = Elements(make_page(brain[0], **brain[1]).html).text
    text = text.replace("\N{MULTIPLICATION SIGN}", "x")
    for said in (
        "neurological convention",
        "up to 9° from the anatomical ones",
        "Of 2 time points, the first is shown",
        "2 x 24 x 96 x 128",
        "2.2 x 2 x 2 mm",
        "blosc (cname zstd, clevel 1",
        "from 0 to 1162, mean 172.908",
        "No damage found by a quick check of 34 files",
        "cd /somewhere && neurozarr run",
        "zarr.chunk",
    ):
        assert said in text, said


def test_large_numbers_have_all_their_digits(tmp_path):
    voxels = np.zeros((2, 3, 100), "u8")
    voxels[0, 0] = 2**64 - 1
    np.save(tmp_path / "a.npy", voxels)
    options = {"voxel_size": "12345.6,40,70000", "unit": "nm", "nifti": {"nii": False}}
    paths, told = convert(tmp_path / "a.npy", tmp_path / "out", **options)
    text = Elements(make_page(paths, **told).html).text
    assert "12346 \N{MULTIPLICATION SIGN} 40 \N{MULTIPLICATION SIGN} 70000 nm" in text
    assert "from 0 to 18446744073709551615" in text
    assert "2000000 nm" in text
    assert "check of 1 file," in text


def test_page_is_accessible_and_needs_no_other_file(brain):
    page = Elements(make_page(brain[0], **brain[1]).html)
    assert page.of("html") == [{"lang": "en"}]
    assert all("alt" in image and image["src"].startswith("data:") for image in page.of("img"))
    assert all("scope" in header for header in page.of("th"))
    assert page.of("script") == page.of("object") == page.of("iframe") == []
    assert [link["href"] for link in page.of("link")] == ["data:,"]
    assert {link["href"] for link in page.of("a")} == {"#main", "index.html"}


def test_same_store_gives_the_same_bytes(brain):
    first, second = (make_page(brain[0], **brain[1]) for _ in range(2))
    assert first == second
    for source in re.findall(r"data:image/png;base64,[\w+/=]+", first.html):
        content = base64.b64decode(source.partition(",")[2])
        assert b"tEXt" not in content
        assert b"matplotlib" not in content


def test_missing_chunk_is_an_error_and_not_drawn_black(tmp_path, mri):
    paths, told = convert(mri / "anatomical.nii", tmp_path, zarr={"chunk": 16})
    (paths.store / "0/c/0/1/1").unlink()
    with pytest.raises(DamageError, match=r"0/c/0/1/1 is missing: run again with the target ver"):
        report_sample(paths, **told)
    assert not paths.page.exists()


def five_dimensions(folder):
    voxels = np.random.default_rng(0).integers(0, 200, (2, 3, 7, 20, 30)).astype("u1")
    np.save(folder / "a.npy", voxels)
    options = {"axes": "tczyx", "voxel_size": "3,1,2", "unit": "micrometer", "zarr": {"chunk": 8}}
    return folder / "a.npy", options


def test_what_strangers_wrote_is_only_text(tmp_path):
    source, options = five_dimensions(tmp_path)
    options["ome"] = {"channel_names": [HOSTILE, "b", "c"], "name": HOSTILE}
    odd = source.rename(tmp_path / f"{HOSTILE.replace('/', '')}.npy")
    paths, told = convert(odd, tmp_path / "out", **options)
    report_sample(paths, **told)
    page = Elements(paths.page.read_text())
    assert page.of("script") == []
    assert all("onerror" not in image for image in page.of("img"))
    assert HOSTILE in page.text
    assert HOSTILE.replace("/", "") in page.text
    row = json.loads(paths.page_receipt.read_text())["row"]
    index = Elements(render({paths.sample: row}, {HOSTILE: {"reason": HOSTILE, "log": HOSTILE}}))
    assert len(index.of("script")) == 1
    assert all("onerror" not in image for image in index.of("img"))
    assert index.text.count(HOSTILE) == 3


def test_channels_are_drawn_in_their_colours(tmp_path):
    source, options = five_dimensions(tmp_path)
    colors = ["FF0000", "00FF00", "000000"]
    paths, told = convert(source, tmp_path / "out", **options, ome={"channel_colors": colors})
    page = Elements(make_page(paths, **told).html)
    channels = read_image(paths.store, 3, driver="tensorstore").channels
    drawn = picture(page.of("img")[0]["src"])
    for number, channel in enumerate(channels):
        start, end = channel.window
        plane = (np.load(source)[0, number, 3].astype(float) - start) / (end - start)
        expected = np.clip(plane, 0, 1) * 255 if number < 2 else np.zeros(plane.shape)
        np.testing.assert_allclose(drawn[..., number], expected, atol=1)


@pytest.mark.parametrize(
    ("shape", "dtype", "options"),
    [
        ((1, 1, 1), "u1", {}),
        ((4, 5), "f8", {"axes": "yx"}),
        ((3, 4, 5), "c8", {"verify": "none"}),
        ((3, 4, 5), "f4", {"zarr": {"zarr_version": 2}}),
        ((3, 4, 5), "f2", {"nifti": {"nii": False}}),
        ((3, 4, 5), "?", {"nifti": {"nii": False}}),
        ((3, 4, 5), "u8", {"nifti": {"nii": False}}),
        ((12, 2, 4, 5), "i1", {"axes": "czyx"}),
    ],
)
def test_any_image_gets_a_page(tmp_path, shape, dtype, options):
    voxels = np.zeros(shape, dtype)
    if dtype == "f4":
        voxels[:] = np.nan
    if dtype == "f8":
        voxels[:2] = [[-1e307], [1e307]]
    if dtype == "f2":
        voxels[:] = 60_000
    np.save(tmp_path / "a.npy", voxels)
    paths, told = convert(tmp_path / "a.npy", tmp_path / "out", **options)
    report_sample(paths, **told)
    page = Elements(paths.page.read_text())
    assert picture(page.of("img")[0]["src"]).size
    with Pillow.open(paths.thumbnail) as thumbnail:
        assert max(thumbnail.size) == 128
    assert ("the first 8 are shown" in page.text) == (shape[0] == 12)
    assert ("Not verified." in page.text) == ("verify" in options)


def test_large_planes_are_shown_in_part_and_framed(tmp_path):
    voxels = np.zeros((2, 600, 700), "u1")
    voxels[:, 200:400, 250:450] = 100
    np.save(tmp_path / "a.npy", voxels)
    paths, told = convert(tmp_path / "a.npy", tmp_path / "out", voxel_size="1,1,1")
    page = Elements(make_page(paths, **told).html)
    assert "Of level 0, the pictures show only the centre" in page.text
    assert picture(page.of("img")[0]["src"]).shape == (256, 256)
    frames = [span["style"] for span in page.of("span") if span.get("class") == "frame"]
    left, top, width, height = map(float, re.findall(r": ([\d.]+)%", frames[0]))
    expected = (100 * 222 / 700, 100 * 172 / 600, 100 * 256 / 700, 100 * 256 / 600)
    np.testing.assert_allclose((left, top, width, height), expected)


@pytest.fixture(scope="module")
def terabyte(tmp_path_factory):
    """A volume of 1.1 TB of which only the chunks around the centre, and coarse levels, exist."""
    folder = tmp_path_factory.mktemp("terabyte")
    paths = StorePaths(output=str(folder), sample="a", nii=False, zarr_version=3)
    group = neurozarr.from_config(neurozarr.ZarrConfig(out=str(paths.store), chunk=128))
    shape = (4096, 16384, 8192)
    for level in range(8):
        array = group.create_array(str(level), tuple(n >> level for n in shape), "uint16")
        starts = [max(0, length // 2 - 128) for length in array.shape]
        centre = tuple(slice(start, start + 256) for start in starts)
        array[centre if level < 5 else ...] = 1000
    group.write_ome_metadata(["z", "y", "x"], space_unit="micrometer", ome_version="0.5")
    return paths


def test_page_of_a_terabyte_needs_few_chunks(terabyte):
    told = {"source": "", "options": {}, "command": "", "benchmarks_in": "none"}
    page = Elements(make_page(terabyte, **told, driver="tensorstore").html)
    # A chunk that is missing would be an error if it were read.
    assert "Of levels 0, 1, 2, 3, 4, the pictures show only the centre" in page.text
    planes = page.of("img")[: 8 * 3]
    assert [picture(each["src"]).shape for each in planes[:3]] == [(256, 256)] * 3
    assert [picture(each["src"]).shape for each in planes[15:18]] == [
        (512, 256),
        (128, 256),
        (512, 128),
    ]


def resampled(labels, image):
    """The labels at the voxels of an image, by SimpleITK."""
    nearest = sitk.ResampleImageFilter()
    nearest.SetReferenceImage(image)
    nearest.SetInterpolator(sitk.sitkNearestNeighbor)
    return sitk.GetArrayFromImage(nearest.Execute(labels))


def test_labels_are_where_they_are_in_space(tmp_path):
    rng = np.random.default_rng(1)
    image = sitk.GetImageFromArray(rng.integers(0, 99, (20, 24, 30)).astype("u1"))
    image.SetSpacing((1, 2, 3))
    labels = sitk.GetImageFromArray(rng.integers(0, 9, (9, 10, 11)).astype("u2"))
    labels.SetSpacing((1.5, 2.5, 4))
    labels.SetOrigin((4.2, 10.1, 7.3))
    for name, volume in (("image", image), ("labels", labels)):
        sitk.WriteImage(volume, tmp_path / f"{name}.nii")
    rows = [("a", tmp_path / "image.nii", ""), ("seg", tmp_path / "labels.nii", "a")]
    lines = ["sample\tsource\tlabel_of", *("\t".join(map(str, row)) for row in rows), ""]
    (tmp_path / "sheet.tsv").write_text("\n".join(lines))
    run, samples = read_run({"samples": str(tmp_path / "sheet.tsv"), "output": str(tmp_path / "o")})
    for name, sample in samples.items():
        convert_sample(sample, run.paths(name), verify="quick", threads=1)
    read = [read_image(run.paths(name).store, 3, driver="tensorstore") for name in samples]
    whole = tuple(slice(0, length) for length in (20, 24, 30))
    found = labels_at(read[1], read[0], read[0].levels[0], whole)
    np.testing.assert_array_equal(found, resampled(labels, image))
    for name, sample in samples.items():
        told = arguments.report_sample(sample, run, directory="/somewhere")
        report_sample(run.paths(name), **told, benchmarks_in="none")
    page = Elements(run.paths("a").page.read_text())
    assert "a/labels/seg.html" in [link["href"] for link in page.of("a")]
    page = Elements(run.paths("a/labels/seg").page.read_text())
    assert "../../index.html" in [link["href"] for link in page.of("a")]
    assert "8 different labels in level 0" in page.text


def report_in_place(store, **options):
    """Add levels to an image of others, and make its page; return its text and pictures."""
    options |= {"in_place": True}
    paths, told = convert(store, store.parent / "out", **options)
    before = others.tree(store)
    report_sample(paths, **told)
    assert others.tree(store) == before
    assert read_record(paths.page_receipt)["made_from"] == page_records.made_from(paths)
    return Elements(paths.page.read_text())


@pytest.mark.parametrize("axes", ["yx", "zyx", "xyz", "xyc", "tczyx"])
def test_page_of_an_image_in_place_has_its_voxels(tmp_path, axes):
    lengths = {"t": 3, "c": 2, "z": 9, "y": 20, "x": 30}
    colors = {"omero": {"channels": [{"color": "#F00"}, {"color": "00ff00", "label": HOSTILE}]}}
    store = others.image(
        tmp_path / "a.zarr",
        axes=axes,
        shape=[lengths[axis] for axis in axes],
        ome=colors if "c" in axes else {},
    )
    page = report_in_place(store, pyramid={"levels": 2})
    voxels = others.levels(store)[0].astype(float)
    places = {"t": 0, "z": 4}
    plane = voxels[tuple(places.get(axis, slice(None)) for axis in axes)]
    left = [axis for axis in axes if axis not in places]
    plane = plane.transpose([left.index(axis) for axis in "cyx" if axis in left])
    painter = Painter(read_image(store, 3, driver="tensorstore", given=1))
    drawn = picture(page.of("img")[0]["src"])
    for number, (start, end) in enumerate(painter.windows):
        scaled = np.clip((plane[number] if "c" in axes else plane) - start, 0, end - start)
        shown = drawn[..., number] if "c" in axes else drawn
        np.testing.assert_allclose(shown, scaled / (end - start) * 255, atol=1)
    assert "Added levels1, 2; the others are of the owner" in page.text
    space = [axis for axis in axes if axis in "xyz"]
    sizes = " \N{MULTIPLICATION SIGN} ".join("0.25" for _ in space)
    assert f"Voxel size ({', '.join(space)}){sizes} (unit not known)" in page.text
    assert (HOSTILE in page.text) == ("c" in axes)
    assert page.of("script") == []


def test_voxel_size_is_in_the_order_of_the_axes(tmp_path):
    store = others.image(tmp_path / "a.zarr", axes="xyz")
    document = json.loads((store / "zarr.json").read_text())
    axes = document["attributes"]["ome"]["multiscales"][0]["axes"]
    for axis, unit in zip(axes, ("micrometer", "millimeter", "millimeter"), strict=True):
        axis["unit"] = unit
    (store / "zarr.json").write_text(json.dumps(document))
    image = read_image(store, 3, driver="tensorstore", given=1)
    size = facts.voxel_size(image, image.levels[0])
    assert size.replace("\N{MULTIPLICATION SIGN}", "x") == "0.25 x 250 x 250 \N{MICRO SIGN}m"


def test_page_in_place_of_labels_without_details_has_labels(tmp_path):
    (tmp_path / "labels").mkdir()
    store = others.image(tmp_path / "labels/a.zarr", shape=(4, 5, 6), dtype="u1")
    page = report_in_place(store, pyramid={"levels": 1})
    count = len(set(others.voxels((4, 5, 6), "u1").ravel()) - {0})
    assert f"{count} different labels in level 0" in page.text


def test_page_in_place_of_the_largest_numbers(tmp_path):
    store = others.image(tmp_path / "a.zarr", dtype="f8")
    array = zarr.open_array(store / "0")
    array[:] = -1.7e308
    array[:, :10] = 1.7e308
    document = json.loads((store / "zarr.json").read_text())
    document["attributes"]["ome"]["omero"] = {"channels": [{}]}
    (store / "zarr.json").write_text(json.dumps(document))
    page = report_in_place(store, pyramid={"levels": 0})
    assert set(picture(page.of("img")[0]["src"]).ravel()) == {0, 255}
    assert "Added levelsnone" in page.text


def test_page_in_place_has_what_is_strange_in_the_metadata(tmp_path):
    store = others.image(
        tmp_path / "a.zarr", 2, names=("0", "1"), shape=(8, 20, 30), compressors=numcodecs.LZMA()
    )
    for key in ("0.0.0", "0.1.1"):  # Others do not store chunks of zeros.
        (store / "0" / key).unlink()
    ome = json.loads((store / ".zattrs").read_text())
    units = ("micron", "millimeter", HOSTILE)
    for axis, unit in zip(ome["multiscales"][0]["axes"], units, strict=True):
        axis |= {"unit": unit, "orientation": {"value": "left-to-right"}}
    ome["omero"] = {"channels": [{"color": None, "window": {"start": 5, "end": 5}, "label": 7}]}
    ome["image-label"] = {"colors": [{"label-value": "x"}, 3], "properties": [{"a": 1}]}
    (store / ".zattrs").write_text(json.dumps(ome))
    page = report_in_place(store, pyramid={"levels": 2})
    # The unit is that of y; that of x is taken for it.
    assert "0.00025 \N{MULTIPLICATION SIGN} 0.25 \N{MULTIPLICATION SIGN} 0.25 mm" in page.text
    assert "The anatomical orientation is not known" in page.text
    assert "Codeclzma" in page.text
    assert "Added levels2; the others are of the owner" in page.text


@pytest.fixture
def paths(tmp_path):
    return StorePaths(output=str(tmp_path), sample="a", nii=True, zarr_version=3)


def test_files_of_others_and_edited_ones_are_not_replaced(paths):
    page_records.write(paths.page_receipt, {paths.page: b"1"}, {})
    page_records.write(paths.page_receipt, {paths.page: b"2"}, {})
    assert paths.page.read_bytes() == b"2"
    # Of a run that was killed before the file was replaced.
    paths.page.write_bytes(b"1")
    with pytest.raises(OwnershipError, match=r"a\.html was not written by this workflow"):
        page_records.write(paths.page_receipt, {paths.page: b"3"}, {})
    assert paths.page.read_bytes() == b"1"
    paths.page.unlink()
    paths.page.symlink_to(paths.page_receipt)
    with pytest.raises(OwnershipError):
        page_records.write(paths.page_receipt, {paths.page: b"3"}, {})
    assert paths.page.is_symlink()


def test_list_keeps_failures_of_other_runs(paths):
    failed = {"x": {"reason": "why", "log": "x.log"}, "y": {"reason": "because", "log": "y.log"}}
    write_index(paths, failed, samples={"x", "y"})
    assert not page_records.is_current_index(paths, {"y"})
    assert page_records.is_current_index(paths, {"z"})
    write_index(paths, {}, samples={"y"})
    text = paths.index.read_text()
    assert "why" in text
    assert "because" not in text

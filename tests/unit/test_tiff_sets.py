"""OME-TIFF in several files, images in one file, and what is missing in them."""

import json
import os

import numpy as np
import pytest
import tifffile
import zarr

from neurozarr.errors import SourceError
from neurozarr.regions import whole
from neurozarr.samples.reading import read_run
from neurozarr.sources import family_of, open_source, stem
from neurozarr.sources.base import Layout

from .conversions import convert_row
from .families import assert_holds

RNG = np.random.default_rng(0)
VOXELS = RNG.integers(1, 60_000, (2, 6, 20, 21)).astype("u2")  # Two images of 6 planes.
NAMES = ["a.ome.tif", "sub/b.ome.tif", "c.ome.tif"]


def document(uuid, images, inside):
    """OME-XML of images whose pairs of planes are in files of the set."""
    text = ""
    for number, name in enumerate(images):
        planes = "".join(
            f'<TiffData IFD="{2 * number + i}" FirstZ="{2 * n + i}" PlaneCount="1">'
            f'<UUID FileName="{file}">urn:uuid:{n}</UUID></TiffData>'
            for n, file in enumerate(NAMES)
            for i in range(2)
        )
        text += (
            f'<Image ID="Image:{number}" Name="{name}"><Pixels ID="Pixels:{number}" '
            'DimensionOrder="XYZCT" Type="uint16" SizeX="21" SizeY="20" SizeZ="6" SizeC="1" '
            f'SizeT="1" PhysicalSizeX="0.5"><Channel ID="Channel:{number}"/>{planes}'
            "</Pixels></Image>"
        )
    return (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
        f"{inside or text}</OME>"
    )


def ome_set(folder, images=("left", "right"), *, companion=True):
    """Files with two planes of each image; their metadata are in a companion, or in the first."""
    (folder / "sub").mkdir()
    master = "set.companion.ome" if companion else NAMES[0]
    for n, name in enumerate(NAMES):
        only = f'<BinaryOnly MetadataFile="{"../" * name.count("/")}{master}" UUID="urn:uuid:0"/>'
        xml = document(f"urn:uuid:{n}", images, "" if name == master else only)
        with tifffile.TiffWriter(folder / name, ome=False) as file:
            for number in range(2 * len(images)):
                file.write(
                    VOXELS[number // 2, 2 * n + number % 2],
                    description=xml if number == 0 else None,
                    contiguous=False,
                    metadata=None,
                )
    if companion:
        (folder / master).write_text(document("urn:uuid:9", images, ""))
    return folder / master


@pytest.mark.parametrize("companion", [True, False])
def test_any_file_of_a_set_is_the_whole_set(tmp_path, companion):
    first = ome_set(tmp_path, companion=companion)
    for path in (first, *(tmp_path / name for name in NAMES)):
        for number, name in enumerate(("left", "right")):
            source = open_source(path, dataset=name)
            source.check()
            assert_holds(source, VOXELS[number])
            assert source.voxel_size == (0.5, 0.5, 0.5)
            assert {os.path.realpath(file) for file in source.files} == {
                os.path.realpath(file) for file in (first, *(tmp_path / name for name in NAMES))
            }
            part = source.files_of((slice(2, 4), slice(0, 1), slice(0, 1)))
            assert [file.name for file in part] == ["b.ome.tif"]
        found = family_of(str(path)).images(str(path), Layout())
        assert [(image.dataset, image.name) for image in found] == [("0", "left"), ("1", "right")]
    assert stem("a/set.companion.ome") == "set"


def test_each_image_of_a_file_is_a_sample(tmp_path):
    ome_set(tmp_path)
    row = f"a\t{tmp_path}/set.companion.ome\t*\n"
    (tmp_path / "sheet.tsv").write_text("sample\tsource\tdataset\n" + row)
    _, samples = read_run({"samples": str(tmp_path / "sheet.tsv"), "output": str(tmp_path / "o")})
    assert list(samples) == ["a_left", "a_right"]
    for number, sample in enumerate(samples.values()):
        assert_holds(sample.source, VOXELS[number])


def test_images_whose_names_are_numbers_are_told_apart(tmp_path):
    path = ome_set(tmp_path, ["1", "0"])
    found = family_of(str(path)).images(str(path), Layout())
    assert [image.name for image in found] == ["1", "0"]
    for image, expected in zip(found, VOXELS, strict=True):
        assert_holds(open_source(path, dataset=image.dataset), expected)
        assert_holds(open_source(path, dataset=image.name), expected)


def test_missing_planes_are_refused_or_filled(tmp_path, caplog):
    path = ome_set(tmp_path, ["one"])
    (tmp_path / NAMES[1]).unlink()
    with pytest.raises(
        SourceError, match=r"2 of its 6 planes are in no file; missing: b\.ome\.tif; .* give fill"
    ):
        open_source(path)
    expected = VOXELS[0].copy()
    expected[2:4] = 0
    for file in (path, tmp_path / NAMES[0]):
        caplog.clear()
        source = open_source(file, missing="fill")
        source.check()
        assert_holds(source, expected)
        assert source.filled == "2 of 6 planes (z=2, z=3)"
        assert "missing, and filled with zeros: 2 of 6 planes (z=2, z=3)" in caplog.text
        assert source.files_of((slice(2, 4), slice(0, 1), slice(0, 1))) == ()
        np.testing.assert_array_equal(source.read(whole(source.shape)), expected)
    store, _ = convert_row(tmp_path, sample="s", source=path, missing="fill")
    metadata = json.loads((store / "zarr.json").read_text())["attributes"]["ome"]
    assert metadata["multiscales"][0]["metadata"]["source_filled"] == source.filled
    np.testing.assert_array_equal(zarr.open_array(store / "0", mode="r")[...], expected)


@pytest.mark.parametrize("encoding", [{}, {"compression": "zlib", "tile": (16, 16)}])
def test_planes_that_were_not_acquired_are_filled(tmp_path, encoding):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, VOXELS[0], photometric="minisblack", metadata={"axes": "ZYX"}, **encoding
    )
    path.write_bytes(path.read_bytes().replace(b'SizeZ="6"', b'SizeZ="8"'))
    with pytest.raises(SourceError, match=r"2 of its 8 planes are in no file; to fill them"):
        open_source(path)
    source = open_source(path, missing="fill")
    assert_holds(source, np.concatenate([VOXELS[0], np.zeros((2, 20, 21), "u2")]))


@pytest.mark.parametrize("size", [100, 1_200])
def test_damaged_files_of_a_set_are_not_filled(tmp_path, size):
    path = ome_set(tmp_path, ["one"])
    broken = tmp_path / NAMES[1]
    os.truncate(broken, size)
    with pytest.raises(SourceError, match=r"b\.ome\.tif: "):
        open_source(path, missing="fill").check()


def test_an_image_of_which_all_planes_are_missing_is_said(tmp_path, caplog):
    path = ome_set(tmp_path)
    text = path.read_text()
    start = text.index('<Image ID="Image:1"')
    path.write_text(text[:start] + text[start:].replace(".ome.tif", ".lost.tif").replace(
        "urn:uuid:", "urn:uuid:lost-"))  # fmt: skip
    with pytest.raises(SourceError, match=r"none of the planes of 'right' is in a file"):
        open_source(path)
    assert_holds(open_source(path, dataset="left"), VOXELS[0])
    assert len(family_of(str(path)).images(str(path), Layout())) == 1
    assert "none of the planes of 'right' is in a file" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-9], r"set\.companion\.ome: its OME-XML is damaged"),
        (lambda text: text.replace("ome.tif", "lost"), "none of the files with its planes exists"),
        (
            lambda text: text.replace('<UUID FileName="c.ome.tif">urn:uuid:2</UUID>', ""),
            "some of its planes are in no file that it names",
        ),
        (lambda text: text.replace("c.ome.tif", "pipe"), "pipe: a directory, a pipe or a device"),
        (lambda text: "", "its OME-XML is damaged"),
    ],
)
def test_damaged_companions_are_refused(tmp_path, change, message):
    path = ome_set(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    path.write_text(change(path.read_text()))
    with pytest.raises(SourceError, match=message):
        open_source(path, dataset="0", missing="fill")


@pytest.mark.parametrize("uuid", ["", "urn:uuid:1"])
def test_files_of_the_same_uuid_are_told_apart_or_refused(tmp_path, uuid):
    """tifffile would read all planes from the first of them."""
    path = ome_set(tmp_path, ["one"])
    text = path.read_text()
    for n in range(3):
        text = text.replace(f">urn:uuid:{n}<", f">{uuid}<")
    path.write_text(text)
    assert_holds(open_source(path), VOXELS[0])
    other = tmp_path / "other"
    other.mkdir()
    tifffile.imwrite(other / NAMES[0], VOXELS[0], description=text, metadata=None, ome=False)
    with pytest.raises(SourceError, match=r"a\.ome\.tif and sub/b\.ome\.tif have the same UUID"):
        open_source(other / NAMES[0])


def test_metadata_that_refer_to_each_other_are_refused(tmp_path):
    path = ome_set(tmp_path, companion=False)
    xml = document("urn:uuid:0", [], f'<BinaryOnly MetadataFile="{NAMES[2]}" UUID="u"/>')
    tifffile.imwrite(path, VOXELS[0], description=xml, metadata=None, ome=False)
    with pytest.raises(SourceError, match=r"the metadata of this OME-TIFF set are not in c\.ome"):
        open_source(path)

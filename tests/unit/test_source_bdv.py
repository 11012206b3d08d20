"""BigDataViewer and BigStitcher: XML files with HDF5, N5 and OME-Zarr, and HDF5 without XML."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurozarr.errors import ConfigError, SourceError
from neurozarr.regions import regions, whole
from neurozarr.samples.reading import read_run
from neurozarr.sources import open_source
from neurozarr.sources.bdv.source import WORLD

from .conversions import convert, convert_row
from .families import assert_holds
from .test_anatomy import apply, validate

RNG = np.random.default_rng(0)
#: Voxels by setup and time point, above the range of int16 too.
VOXELS = RNG.integers(0, 2**16, (2, 3, 7, 10, 13)).astype("u2")
TIMES = (0, 2, 3)
LOADERS = ["bdv.hdf5", "bdv.n5", "bdv.multimg.zarr", "bdv.ome.zarr"]
#: The transformations of each view, the one that is applied last first, as BigStitcher lists them.
CALIBRATION = "1 0 0 0 0 1 0 0 0 0 4 0"
GRID = "1 0 0 100 0 1 0 -20 0 0 1 8"
TURN = "0 -1 0 0 1 0 0 0 0 0 1 0"


def save_hdf5(path, views, stored="<i2", **attributes):
    """Views as BigDataViewer stores them: int16 for uint16, in a pyramid."""
    with h5py.File(path, "w") as file:
        for s, t in np.ndindex(views.shape[:2]):
            for level in range(2):
                cells = views[s, t][(slice(None, None, 1 + level),) * 3]
                cells = cells.astype(stored[-2:]).astype(stored)
                name = f"t{TIMES[t]:05}/s{s:02}/{level}/cells"
                file.create_dataset(name, data=cells, chunks=(4, 4, 4), compression="gzip")
            group = file.require_group(f"s{s:02}")
            group.attrs.update(attributes)
            if "resolutions" not in group:
                group["resolutions"] = [[1.0, 1, 1], [2, 2, 2]]
                group["subdivisions"] = [[4, 4, 4], [4, 4, 4]]


def save_n5(path, views):
    path.mkdir()
    (path / "attributes.json").write_text('{"n5": "2.5.1"}')
    for s, t in np.ndindex(views.shape[:2]):
        place = f"{path.resolve()}/setup{s}/timepoint{TIMES[t]}/s0/"
        spec = {"driver": "n5", "kvstore": {"driver": "file", "path": place}}
        spec["metadata"] = {"compression": {"type": "gzip"}, "blockSize": [5, 4, 3]}
        array = views[s, t].T
        tensorstore.open(spec, create=True, dtype=array.dtype, shape=array.shape).result()[...] = (
            array
        )


def save_image(path, voxels, version):
    """An OME-Zarr image of one level."""
    axes = [{"name": axis, "type": "space"} for axis in "tczyx"[5 - voxels.ndim :]]
    image = {"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": []}]}
    group = zarr.create_group(path, zarr_format=version)
    group.attrs.update(
        {"ome": {"version": "0.5", "multiscales": [image]}}
        if version == 3
        else {"multiscales": [image | {"version": "0.4"}]}
    )
    group.create_array("s0", data=voxels, chunks=(1,) * (voxels.ndim - 3) + (3, 4, 5))


def save(folder, loader, views=VOXELS):
    """Write voxels for an image loader; the XML element of it."""
    match loader:
        case "bdv.hdf5":
            save_hdf5(folder / "a.h5", views)
            return '<hdf5 type="relative">a.h5</hdf5>'
        case "bdv.n5":
            save_n5(folder / "a.n5", views)
            return '<n5 type="relative">a.n5</n5>'
        case "bdv.ome.zarr":
            padded = np.zeros((TIMES[-1] + 1, *views[:, 0].shape), views.dtype)
            padded[list(TIMES)[: views.shape[1]]] = views.swapaxes(0, 1)
            save_image(folder / "a.ome.zarr", padded, 2)
            return '<zarr type="relative">a.ome.zarr</zarr>'
    groups = ""
    zarr.create_group(folder / "a.zarr", zarr_format=3)
    for s, t in np.ndindex(views.shape[:2]):
        # One image with two channels at the first time point, and else one for each view.
        name, indices, voxels = f"tile{s}_t{t}.ome.zarr", "[]", views[s, t]
        if t == 0:
            name, indices, voxels = "both.ome.zarr", f"{s} 0", views[:, 0][None]
        if not (folder / "a.zarr" / name).exists():
            save_image(folder / "a.zarr" / name, voxels, 3 if t else 2)
        groups += f'<zgroup setup="{s}" tp="{TIMES[t]}" path="{name}" indicies="{indices}" />'
    return f'<zarr type="relative">a.zarr</zarr><zgroups>{groups}</zgroups>'


def registered(*affines, views=((0, 0),)):
    transforms = "".join(
        f'<ViewTransform type="affine"><affine>{affine}</affine></ViewTransform>'
        for affine in affines
    )
    return "".join(
        f'<ViewRegistration timepoint="{t}" setup="{s}">{transforms}</ViewRegistration>'
        for s, t in views
    )


def write(
    folder,
    loader="bdv.hdf5",
    *,
    element='<hdf5 type="relative">a.h5</hdf5>',
    size="0.5 0.5 2.0",
    unit="um",
    times="0,2-3",
    missing="",
    registrations="",
    base=".",
    names=("nuclei", "membranes"),
):
    """An XML file of BigDataViewer, with one view setup for each name."""
    setups = "".join(
        f"<ViewSetup><id>{number}</id><name>{name}</name><size>13 10 7</size>"
        f"<voxelSize><unit>{unit}</unit><size>{size}</size></voxelSize>"
        f"<attributes><channel>{number}</channel></attributes></ViewSetup>"
        for number, name in enumerate(names)
    )
    channels = "".join(
        f"<Channel><id>{number}</id><name>dye {number}</name></Channel>" for number in range(2)
    )
    (folder / "a.xml").write_text(
        f"""<?xml version="1.0" encoding="UTF-8"?>
        <SpimData version="0.2"><BasePath type="relative">{base}</BasePath>
        <SequenceDescription>
        <ImageLoader format="{loader}" version="3.0">{element}</ImageLoader>
        <ViewSetups>{setups}<Attributes name="channel">{channels}</Attributes></ViewSetups>
        <Timepoints type="pattern"><integerpattern>{times}</integerpattern></Timepoints>
        <MissingViews>{missing}</MissingViews></SequenceDescription>
        <ViewRegistrations>{registrations}</ViewRegistrations></SpimData>"""
    )
    return folder / "a.xml"


@pytest.fixture(scope="module", params=LOADERS)
def image(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bdv")
    return write(folder, request.param, element=save(folder, request.param))


@pytest.fixture(scope="module")
def setups(image):
    return [open_source(image, dataset=str(number)) for number in range(2)]


@given(data=st.data(), setup=st.sampled_from([0, 1]))
def test_the_finest_level_of_all_time_points_is_read(setups, data, setup):
    assert_holds(setups[setup], VOXELS[setup], data)


def test_axes_and_chunks_are_those_of_views_at_all_time_points(setups):
    for source in setups:
        source.check()
        assert source.axes == "tzyx"
        assert source.native_chunk_shape in [(1, 4, 4, 4), (1, 3, 4, 5)]


def test_threads_read_one_source(image):
    source = open_source(image, dataset="membranes")
    assert source.channel_names == ("dye 1",)
    read = np.empty_like(VOXELS[1])

    def copy(part):
        read[part] = source.read(part)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(copy, regions(whole(read.shape), (1, 3, 5, 11))))
    np.testing.assert_array_equal(read, VOXELS[1])


def test_files_of_a_source_are_the_xml_and_those_of_its_voxels(image):
    files = open_source(image, dataset="0").files
    assert files[0] == image
    assert len(files) > 1
    assert all(file.is_file() for file in files)


@pytest.mark.parametrize(
    ("stored", "named", "expected"),
    [
        ("<i2", None, "u2"),
        (">i2", None, "u2"),
        ("<i2", "uint16", "u2"),
        ("<i2", "int16", "i2"),
        ("<u2", None, "u2"),
        ("<u2", "uint16", "u2"),
        ("<u1", "uint8", "u1"),
        ("<i4", "int32", "i4"),
        ("<f4", "float32", "f4"),
    ],
)
def test_signed_voxels_of_16_bits_are_unsigned_unless_the_file_says_so(
    tmp_path, stored, named, expected
):
    """As BigDataViewer reads them (class Hdf5ImageLoader)."""
    attributes = {} if named is None else {"dataType": named}
    save_hdf5(tmp_path / "a.h5", VOXELS, stored, **attributes)
    path = write(tmp_path)
    voxels = VOXELS[1].astype(stored[-2:]).astype(expected)
    for name, dataset in ((path, "1"), (tmp_path / "a.h5", "s01")):
        assert_holds(open_source(name, dataset=dataset), voxels)


def test_hdf5_is_read_without_its_xml(tmp_path):
    save_hdf5(tmp_path / "a.h5", VOXELS)
    path = tmp_path / "a.h5"
    with pytest.raises(SourceError, match=r"the file has the view setups s00, s01; name one by"):
        open_source(path)
    with pytest.raises(SourceError, match="dataset is 's02', but the file has the view setups s00"):
        open_source(path, dataset="s02")
    assert_holds(open_source(path, dataset="s01"), VOXELS[1])
    assert_holds(open_source(path, dataset="t00002/s01"), VOXELS[1, 1])
    coarse = open_source(path, dataset="/t00003/s00/1/cells")
    assert_holds(coarse, VOXELS[0, 2, ::2, ::2, ::2])
    with pytest.raises(SourceError, match="/t00001/s01/0/cells is missing or not a 3D array"):
        open_source(path, dataset="t00001/s01")
    for other in (VOXELS[0], VOXELS[0, 0].astype("c8"), VOXELS[0, 0].astype("S5")):
        with h5py.File(tmp_path / "c.h5", "w") as file:
            file["t00000/s00/0/cells"], file["s00/resolutions"] = other, [[1.0, 1, 1]]
        with pytest.raises(SourceError, match="/t00000/s00/0/cells is missing or not a 3D array"):
            open_source(tmp_path / "c.h5")
    path = tmp_path / "b.h5"
    save_hdf5(path, VOXELS[:1, :1])
    with h5py.File(path, "r+") as file:
        file["other"] = VOXELS[0]
    source = open_source(path)
    assert_holds(source, VOXELS[0, 0])
    source.views.file.close()
    with h5py.File(path, "r+") as file:
        del file["s00"]
    assert open_source(path, dataset="/t00000/s00/0/cells").dtype == "i2"  # Of another program.


def test_partitions_of_hdf5_are_followed(tmp_path):
    """One file for each time point, and a file of links to them."""
    element = '<hdf5 type="relative">a.h5</hdf5>'
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for t, time in enumerate(TIMES):
            name = f"a-{t:02}.h5"
            save_hdf5(tmp_path / name, VOXELS)
            element += f'<partition><path type="relative">{name}</path></partition>'
            file[f"t{time:05}/s01"] = h5py.ExternalLink(name, f"t{time:05}/s01")
        file["s01/resolutions"] = [[1.0, 1, 1]]
    path = write(tmp_path, element=element)
    source = open_source(path, dataset="1")
    source.check()
    assert_holds(source, VOXELS[1])
    names = {"a.xml", "a.h5", "a-00.h5", "a-01.h5", "a-02.h5"}
    assert {file.name for file in source.files} == names
    (tmp_path / "a-01.h5").unlink()
    with pytest.raises(SourceError, match="/t00002/s01/0/cells is missing"):
        open_source(path, dataset="1").check()
    os.mkfifo(tmp_path / "a-01.h5")
    with pytest.raises(SourceError, match=r"a-01\.h5: a directory, a pipe or a device"):
        open_source(path, dataset="1").check()


# Setups and time points


def test_a_sheet_gets_a_sample_of_each_setup(image, tmp_path):
    sheet = tmp_path / "sheet.tsv"
    sheet.write_text(f"sample\tsource\tdataset\na\t{image}\t*\n")
    _, samples = read_run({"samples": str(sheet), "output": str(tmp_path)})
    assert {name: sample.layout["dataset"] for name, sample in samples.items()} == {
        "a_nuclei": "0",
        "a_membranes": "1",
    }
    sheet.write_text(f"sample\tsource\tdataset\na\t{image.with_name('a.txt')}\t*\n")
    with pytest.raises(ConfigError):
        read_run({"samples": str(sheet), "output": str(tmp_path)})


def test_setups_without_views_are_no_images(tmp_path):
    missing = "".join(f'<MissingView timepoint="{t}" setup="1" />' for t in TIMES)
    missing += '<MissingView timepoint="0" setup="7" />'  # BigStitcher keeps those of other setups.
    save_hdf5(tmp_path / "a.h5", VOXELS[:1])
    path = write(tmp_path, missing=missing)
    assert_holds(open_source(path, dataset="0"), VOXELS[0])
    store, _ = convert_row(tmp_path, sample="a", source=path, dataset="*")
    assert store.name == "a_nuclei.nii.zarr"
    np.testing.assert_array_equal(zarr.open_array(store / "0", mode="r")[...], VOXELS[0])


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("lacking", [0, 2])
def test_missing_views_can_be_filled_with_zeros(tmp_path, loader, lacking):
    missing = f'<MissingView timepoint="{TIMES[lacking]}" setup="0" />'
    path = write(tmp_path, loader, element=save(tmp_path, loader), missing=missing)
    source = open_source(path, dataset="0", missing="fill")
    expected = VOXELS[0].copy()
    expected[lacking] = 0
    assert_holds(source, expected)
    source.check()
    assert source.filled == f"1 of 3 time points (t={lacking})"


@pytest.mark.parametrize(
    ("times", "axes"),
    [("", "zyx"), ("0", "zyx"), ("2", "zyx"), ("0-2:2", "tzyx"), ("3, 2", "tzyx")],
)
def test_time_points_are_those_of_the_xml(tmp_path, times, axes):
    save_hdf5(tmp_path / "a.h5", VOXELS)
    source = open_source(write(tmp_path, times=times), dataset="nuclei")
    assert source.axes == axes
    first = {"2": 1, "3, 2": 1}.get(times, 0)
    np.testing.assert_array_equal(
        source.read(whole(source.shape)).reshape(-1, *VOXELS.shape[2:])[0], VOXELS[0, first]
    )


@pytest.mark.parametrize(
    "element",
    [
        '<Timepoints type="range"><first>2</first><last>3</last></Timepoints>',
        '<Timepoints type="list"><Timepoint><id>3</id></Timepoint><Timepoint><id>2</id>'
        "</Timepoint></Timepoints>",
    ],
)
def test_time_points_are_a_range_or_a_list(tmp_path, element):
    save_hdf5(tmp_path / "a.h5", VOXELS)
    path = write(tmp_path)
    text = path.read_text()
    start, end = text.index("<Timepoints"), text.index("<MissingViews")
    path.write_text(text[:start] + element + text[end:])
    assert_holds(open_source(path, dataset="0"), VOXELS[0, 1:])


@pytest.mark.parametrize(
    ("base", "element", "place"),
    [
        (".", '<n5 type="relative">a%20b.n5</n5>', "a b.n5"),
        (".", '<n5 type="relative">100%.n5/</n5>', "100%.n5"),
        ("..", '<n5 type="relative">c\\a.n5</n5>', "../c/a.n5"),
        (".", "<n5>{folder}/c/a.n5</n5>", "c/a.n5"),
        (".", '<n5 type="absolute">file://{folder}/a%20b.n5</n5>', "a b.n5"),
    ],
)
def test_voxels_are_where_the_paths_lead(tmp_path, base, element, place):
    folder = tmp_path / "d"
    target = folder / place
    folder.mkdir()
    target.parent.mkdir(exist_ok=True)
    save_n5(target, VOXELS)
    path = write(folder, "bdv.n5", base=base, element=element.format(folder=folder))
    assert_holds(open_source(path, dataset="1"), VOXELS[1])


def test_groups_of_the_first_version_have_their_path_in_an_element(tmp_path):
    zarr.create_group(tmp_path / "a.zarr")
    save_image(tmp_path / "a.zarr/tile", VOXELS[:1, 0][None], 2)
    element = '<zarr type="relative">a.zarr</zarr><zgroups><zgroup setup="0" timepoint="0">'
    element += "<path>tile</path></zgroup></zgroups>"
    path = write(tmp_path, "bdv.multimg.zarr", times="0", names=[""], element=element)
    assert_holds(open_source(path), VOXELS[0, 0])


# Where views are


@pytest.mark.parametrize(
    ("size", "calibration", "unit"),
    [
        ("0.5 0.5 2", "0.5 0 0 0 0 0.5 0 0 0 0 2 0", 1),  # as BigDataViewer exports
        ("0.5 0.5 2", "1 0 0 0 0 1 0 0 0 0 4 0", 0.5),  # as BigStitcher: the smallest voxel
        ("0.5 0.5 0.5", "1 0 0 0 0 1 0 0 0 0 1 0", 0.5),
    ],
)
@settings(max_examples=20)
@given(st.lists(st.sampled_from([GRID, TURN, "1 0 0 3 0 1 0 4 0 0 1 5"]), max_size=3))
def test_registrations_give_the_position_of_views(tmp_path_factory, size, calibration, unit, named):
    folder = tmp_path_factory.getbasetemp() / "registrations"
    if not folder.exists():
        folder.mkdir()
        save_hdf5(folder / "a.h5", VOXELS)
    affines = [*named, calibration]
    path = write(folder, size=size, times="2", registrations=registered(*affines, views=[(0, 2)]))
    source = open_source(path, dataset="0")
    (space,) = source.spaces
    assert (space.name, space.unit, space.orientation) == (WORLD, "micrometer", {})
    for voxel in ((0, 0, 0), (3, 4, 5)):
        point = np.array(voxel, float)
        for affine in reversed(affines):
            point = np.reshape(np.array(affine.split(), float), (3, 4)) @ [*point, 1]
        np.testing.assert_allclose(np.array(space.affine) @ [*voxel, 1], point * unit)
        if not any(voxel):
            np.testing.assert_allclose(source.position, point[::-1] * unit)


@pytest.mark.parametrize(
    ("said", "expected", "message"),
    [
        ({"unit": "furlong"}, {"space_unit": "", "position": (4, -10, 50)}, None),
        ({"size": "0.5 0.5 -2"}, {"position": (), "voxel_size": (1, 1, 1)}, "unit of its registr"),
        ({"size": "1 2 3"}, {"position": (), "voxel_size": (3, 2, 1)}, "unit of its registration"),
        ({"registrations": registered(), "size": "2 2 2"}, {"position": (0, 0, 0)}, None),
        ({"registrations": ""}, {"position": (), "spaces": ()}, "registration is missing or not"),
        ({"registrations": registered(GRID, views=[(0, 2)])}, {"spaces": ()}, "is missing or not"),
        (
            {"registrations": registered(GRID).replace("affine", "generic")},
            {"position": (), "spaces": ()},
            "its registration is missing or not an affine; its position is not kept",
        ),
        (
            {"registrations": registered("1e-300 0 0 1 0 1e-300 0 2 0 0 1e-300 3")},
            {"position": ()},
            None,
        ),
        (
            {"registrations": registered("1 0 0 1e308 0 1 0 0 0 0 1 0", CALIBRATION)},
            {"spaces": ()},
            None,
        ),
        (
            {"registrations": registered("1 0 0 0 0 1 0 0 0 0 0 0")},
            {"position": (), "spaces": ()},
            "its registration has no inverse; its position",
        ),
        (
            {"registrations": registered(GRID, CALIBRATION) + registered(GRID, views=[(0, 2)])},
            {"position": (4, -10, 50)},
            "its registration differs between time points; that of the first one is kept",
        ),
    ],
)
def test_what_is_unknown_is_left_out(tmp_path, caplog, said, expected, message):
    save_hdf5(tmp_path / "a.h5", VOXELS)
    said = {"registrations": registered(GRID, CALIBRATION)} | said
    source = open_source(write(tmp_path, **said), dataset="0")
    assert {name: getattr(source, name) for name in expected} == expected
    assert (message or "") in caplog.text
    assert message or "differs" not in caplog.text
    assert_holds(source, VOXELS[0])


def test_the_voxel_size_of_a_user_is_the_unit_of_the_world_too(tmp_path):
    """BigStitcher's voxel size is often in pixels."""
    save_hdf5(tmp_path / "a.h5", VOXELS)
    path = write(tmp_path, size="1 1 4", unit="pixels", registrations=registered(GRID, CALIBRATION))
    assert open_source(path, dataset="0").position == (8, -20, 100)
    source = open_source(path, dataset="0", voxel_size=(2, 0.5, 0.5), unit="um")
    assert source.position == (4, -10, 50)
    assert source.spaces[0].unit == "micrometer"


def test_the_world_is_a_coordinate_system_of_ome_zarr_0_6(tmp_path):
    save_hdf5(tmp_path / "a.h5", VOXELS)
    path = write(tmp_path, times="0", registrations=registered(TURN, GRID, CALIBRATION), names="x")
    config = {"zarr": {"chunk": 4}, "ome": {"ome_version": "0.6"}, "nifti": {"nii": False}}
    store, _ = convert(path, tmp_path, config)
    found = json.loads((store / "zarr.json").read_text())["attributes"]
    validate(found)
    image = found["ome"]["multiscales"][0]
    system = next(system for system in image["coordinateSystems"] if system["name"] == WORLD)
    assert [axis.get("orientation") for axis in system["axes"]] == [None] * 3
    assert [axis["unit"] for axis in system["axes"]] == ["micrometer"] * 3
    (transform,) = [
        step for step in image["coordinateTransformations"] if step["output"]["name"] == WORLD
    ]
    (to_intrinsic,) = image["datasets"][0]["coordinateTransformations"]
    for z, y, x in ((0, 0, 0), (1, 2, 3)):
        world = apply(transform, apply(to_intrinsic, np.array([z, y, x], float)))
        # Calibrated, shifted and turned, in units of the smallest voxel.
        np.testing.assert_allclose(world, np.multiply([4 * z + 8, x + 100, -(y - 20)], 0.5))
    np.testing.assert_array_equal(zarr.open_array(store / "0", mode="r")[...], VOXELS[0, 0])


# Refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("<SpimData", "<Spim"), "damaged: not XML"),
        (("SpimData", "Other"), "its root element is Other, not SpimData"),
        (("bdv.hdf5", "spimreconstruction.filemap2"), "image loader is 'spimrecon.*supported: bdv"),
        (("bdv.hdf5", "bdv.multimg.zarr"), "its image loader has no element <zarr>"),
        (("a.h5", "b.h5"), r"b\.h5: there is no such file"),
        ((">a.h5", "> "), r"a directory, a pipe or a device, not a file"),
        (
            ('type="relative">a.h5', ">s3://b/a.h5"),
            "its voxels are at s3://b/a.h5; allowed: a path",
        ),
        (("<hdf5", "<s3bucket>b</s3bucket><hdf5"), "its voxels are in the S3 bucket b; copy them"),
        (("ImageLoader", "Loader"), "it has no element <ImageLoader>"),
        (("Timepoints", "Times"), "it has no element <Timepoints>"),
        (('"pattern"', '"other"'), "time points of type 'other' are not supported"),
        (("0,2-3", "0,2-99999999"), "more than 100000 time points"),
        (("0,2-3", "3-2"), "it has no time points"),
        (("0,2-3", "0,x"), "its metadata are invalid .*'x'"),
        (("0,2-3", "0,1"), "/t00001/s00/0/cells is missing or not a 3D array of numbers"),
        (("<id>0", "<id>zero"), "its metadata are invalid .*'zero'"),
        (("ViewSetup>", "Setup>"), "it has no view setups"),
        (("0 0 4 0", "0 0 4"), "an affine does not have 12 finite numbers"),
        (("0 0 4 0", "0 0 inf 0"), "an affine does not have 12 finite numbers"),
        (
            ("<MissingViews>", '<MissingViews><MissingView timepoint="2" setup="0" />'),
            "view setup 0 has no voxels at the time points 2, as <MissingViews> says",
        ),
    ],
)
def test_damaged_or_unsupported_files_are_refused(tmp_path, change, message):
    save_hdf5(tmp_path / "a.h5", VOXELS)
    path = write(tmp_path, registrations=registered(GRID, CALIBRATION))
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change, -1 if change[0] != "<SpimData" else 1))
    with pytest.raises(SourceError, match=message) as error:
        open_source(path, dataset="0").check()
    assert str(tmp_path) in str(error.value)


def test_a_setup_is_named_by_its_id_or_name(tmp_path):
    save_hdf5(tmp_path / "a.h5", VOXELS)
    path = write(tmp_path)
    for dataset in (None, "2", "nucleus"):
        told = f"dataset is '{dataset}', but " if dataset else ""
        listed = rf"{told}the file has view setups 0 \(nuclei\), 1 \(membranes\); name one by"
        with pytest.raises(SourceError, match=listed):
            open_source(path, dataset=dataset)
    with pytest.raises(SourceError, match=r"view setups 0 \(same\), 1 \(same\); name one"):
        open_source(write(tmp_path, names=["same"] * 2), dataset="same")
    assert_holds(open_source(write(tmp_path, names=["1", "0"]), dataset="1"), VOXELS[1])
    with pytest.raises(SourceError, match="axes is 'tzyx', but does not apply to this format"):
        open_source(path, dataset="0", axes="tzyx")


@pytest.mark.parametrize("change", [lambda cells: cells[1:], lambda cells: cells.astype("f4")])
def test_time_points_must_have_the_same_shape_and_type(tmp_path, change):
    save_hdf5(tmp_path / "a.h5", VOXELS)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        cells = change(file["t00003/s01/0/cells"][...])
        del file["t00003/s01/0/cells"]
        file["t00003/s01/0/cells"] = cells
    source = open_source(write(tmp_path), dataset="1")
    with pytest.raises(
        SourceError, match=r"a\.xml: time point 2, counted from 0, has shape \(.*, but"
    ):
        source.check()


@pytest.fixture(scope="module")
def multimg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("multimg")
    return folder, save(folder, "bdv.multimg.zarr")


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ("[]", r"a view has shape \(1, 2, 7, 10, 13\); allowed: a 3D array"),
        ("5 0", r"a view has the indices \(0, 5\) of an array of shape \(1, 2, 7, 10, 13\)"),
        ("0", r"a view has the indices \(0,\) of an array"),
    ],
)
def test_indices_must_fit_the_axes_of_an_image(multimg, indices, message):
    element = multimg[1].replace('"0 0"', f'"{indices}"')
    path = write(multimg[0], "bdv.multimg.zarr", element=element)
    with pytest.raises(SourceError, match=message):
        open_source(path, dataset="0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('path="both.ome.zarr"', 'path="../a"'), "the path '../a' of an image has .. in it"),
        (('path="both.ome.zarr"', 'path="none"'), "a.zarr/none: the view is missing"),
        (('path="both.ome.zarr"', 'path=""'), "a.zarr: neither an array nor an OME-Zarr image"),
        (('setup="0" tp="3"', 'setup="0" tp="4"'), "view setup 0 has no image at time point 3"),
    ],
)
def test_missing_images_are_refused(multimg, change, message):
    assert change[0] in multimg[1]
    path = write(multimg[0], "bdv.multimg.zarr", element=multimg[1].replace(*change))
    with pytest.raises(SourceError, match=message):
        open_source(path, dataset="0")


def test_xml_bombs_and_pipes_are_refused(tmp_path):
    entities = "".join(
        f'<!ENTITY {name} "{f"&{last};" * 10}">'
        for name, last in zip("bcdefghij", "abcdefghi", strict=True)
    )
    path = tmp_path / "a.xml"
    path.write_text(f'<!DOCTYPE x [<!ENTITY a "ha">{entities}]><SpimData>&j;</SpimData>')
    with pytest.raises(SourceError, match="damaged: not XML"):
        open_source(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SourceError, match="a directory, a pipe or a device"):
        open_source(path)

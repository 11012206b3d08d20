"""Levels that are added to OME-Zarr images of others, where they are."""

import itertools
import json
import os
import shutil
from contextlib import suppress

import numcodecs
import numpy as np
import ome_zarr_models
import pytest
import tensorstore
import yaozarrs
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

import neurozarr
from neurozarr.errors import ConfigError, DamageError, NeurozarrError, OwnershipError, StoreError
from neurozarr.ome import extending
from neurozarr.run import extending as documents
from neurozarr.samples import bundles
from neurozarr.samples.reading import read_run
from neurozarr.steps.convert_bundle import convert_sample

from . import others
from .power import PowerOffError, power_off_at

#: Documents of a group that may change: they get the new levels.
GROUP = {".zattrs", ".zmetadata", "zarr.json"}


def add(store, output=None, **options):
    """Add levels to an image, two by default."""
    options = {"pyramid": {"levels": 2}, "verify": "full"} | options
    return neurozarr.convert(store, output or store.parent / "out", in_place=True, **options)


def paths_and_sample(store, **options):
    config = {"source": str(store), "output": str(store.parent / "out"), "in_place": True}
    run, samples = read_run(config | {"pyramid": {"levels": 2}} | options)
    ((name, sample),) = samples.items()
    return run.paths(name), sample


def halved(array):
    """The mean of each cube of two voxels along each axis, without what is left at the edge."""
    even = array[tuple(slice(n // 2 * 2) for n in array.shape)].astype(float)
    pairs = even.reshape([n for length in even.shape for n in (length // 2, 2)])
    return pairs.mean(axis=tuple(range(1, pairs.ndim, 2)))


def assert_pyramid(store):
    """Each level is the mean of the one before, at the place that its metadata say."""
    found = others.levels(store)
    for finer, coarser in itertools.pairwise(found):
        assert np.abs(coarser - halved(finer)).max() <= 0.5
    steps = [entry["coordinateTransformations"] for entry in others.multiscale(store)["datasets"]]
    base, first = steps[0][0], steps[0][-1].get("translation", [0.0] * 3)
    for level, (scale, translation) in enumerate(steps[1:], 1):
        for axis, size in enumerate(base["scale"]):
            assert scale["scale"][axis] == size * 2**level
            # The centre of the first voxel is that of the voxels that it was made from.
            expected = first[axis] + size * (2**level - 1) / 2
            assert translation["translation"][axis] == pytest.approx(expected, abs=1e-12)


def read_by_tensorstore(folder):
    driver = "zarr3" if (folder / "zarr.json").exists() else "zarr"
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{folder}/"}}
    return tensorstore.open(spec).result().read().result()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("write", [others.by_ngff_zarr, others.by_ome_zarr])
def test_images_of_other_programs_get_levels_that_others_read(tmp_path, write, version):
    store = write(tmp_path / "a.ome.zarr", version)
    before, was = others.tree(store), others.multiscale(store)
    assert add(store) == store
    now = others.multiscale(store)
    changed = {name for name, checksum in before.items() if others.tree(store)[name] != checksum}
    assert changed <= GROUP
    assert now["datasets"][:1] == was["datasets"]
    assert all(now[name] == value for name, value in was.items() if name != "datasets")
    assert_pyramid(store)
    yaozarrs.validate_zarr_store(str(store))
    models = ome_zarr_models.v04 if version == "0.4" else ome_zarr_models.v05
    models.Image.from_zarr(zarr.open_group(store, mode="r"))
    (node,) = Reader(parse_url(str(store)))()
    for data, expected, entry in zip(node.data, others.levels(store), now["datasets"], strict=True):
        np.testing.assert_array_equal(data, expected)
        np.testing.assert_array_equal(read_by_tensorstore(store / entry["path"]), expected)
    with suppress(ValueError):  # There are none.
        group = zarr.open_consolidated(store)
        for entry, expected in zip(now["datasets"], others.levels(store), strict=True):
            np.testing.assert_array_equal(group[entry["path"]][...], expected)


@pytest.mark.parametrize(
    ("version", "options"),
    [
        (2, {"chunk_key_encoding": {"name": "v2", "separator": "."}}),
        (2, {"dtype": ">u2", "order": "F"}),
        (2, {"filters": [numcodecs.Delta("<u2")], "compressors": numcodecs.LZ4()}),
        (3, {"serializer": zarr.codecs.BytesCodec(endian="big")}),
        (3, {"shards": (16, 16, 16), "dimension_names": ["z", "y", "x"]}),
        (2, {"compressors": numcodecs.GZip(-1)}),
        (3, {"chunk_key_encoding": {"name": "v2", "separator": "/"}}),
        (3, {"dtype": "f4", "fill_value": float("nan"), "axes": "xyz"}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")  # zarr-python's, about codecs.
def test_new_levels_are_stored_as_the_last_one(tmp_path, version, options):
    store = others.image(tmp_path / "a.zarr", version, **options)
    add(store)
    first, *new = [
        json.loads((store / name / (".zarray" if version == 2 else "zarr.json")).read_text())
        for name in "012"
    ]
    assert [document["shape"] for document in new] == [[10, 15, 20], [5, 7, 10]]
    assert all(document | {"shape": first["shape"]} == first for document in new)
    assert_pyramid(store)


def test_options_of_arrays_that_are_given_are_those_of_new_levels(tmp_path):
    store = others.image(tmp_path / "a.zarr", 2)
    add(store, zarr={"chunk": 16, "compressor": "zlib"})
    new = json.loads((store / "1/.zarray").read_text())
    assert (new["chunks"], new["compressor"]["id"]) == ([16, 16, 16], "zlib")
    assert new["dimension_separator"] == "."


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["s0"], "s1"),
        (["resolution_0"], "resolution_1"),
        (["scale0/image"], "scale1/image"),
        (["0", "1"], "2"),
        (["a/s09"], "a/s10"),
        (["9"], "10"),
    ],
)
def test_names_of_levels_are_counted_on(names, expected):
    assert extending.level_name(names, len(names)) == expected


@pytest.mark.parametrize("names", [["image"], ["3d"], ["s0/a1"], ["0", "2"], ["a0", "b1"]])
def test_names_that_do_not_count_are_an_error(tmp_path, names):
    store = others.image(tmp_path / "a.zarr", names=names)
    before = others.tree(store)
    with pytest.raises(ConfigError, match=f"names of its levels, '{names[0]}'.*do not say how"):
        add(store)
    assert others.tree(store) == before


@settings(max_examples=25)
@given(data=st.data())
def test_taking_an_extension_away_restores_the_document(data):
    texts = st.text(max_size=3)
    values = st.recursive(st.floats() | st.integers() | texts, lambda v: st.lists(v, max_size=2))
    foreign = data.draw(st.dictionaries(texts, values, max_size=3))
    image = data.draw(st.dictionaries(st.sampled_from(["name", "type", "x"]), values))
    image["datasets"] = [{"path": "0", "coordinateTransformations": []}]
    paths = st.sampled_from([".zattrs", "a/.zattrs", "a/0/.zarray", "b/0/.zarray", "a/1/c/.zarray"])
    nodes = {name: {} for name in data.draw(st.lists(paths, unique=True))}
    attributes = foreign | {"multiscales": [image]}
    extension = {
        "datasets": [{"path": "1"}, {"path": "2"}],
        "multiscale": {"type": "mean", "name": "n"},
        "group": {"omero": {"channels": []}},
        "nodes": {"1/.zarray": {"shape": [1]}, "2/.zarray": {"shape": [2]}},
    }
    for name in ("", "a/"):
        metadata = {key: attributes if key == f"{name}.zattrs" else {} for key in nodes}
        more = extending.consolidated(metadata, name, extension, add=True)
        less = extending.consolidated(more, name, extension, add=False)
        assert json.dumps(less) == json.dumps(metadata)
        assert {f"{name}1/.zarray", f"{name}2/.zarray"} <= more.keys()
    more = extending.extended(attributes, extension)
    assert [entry["path"] for entry in more["multiscales"][0]["datasets"]] == ["0", "1", "2"]
    assert all(
        json.dumps(more[key]) == json.dumps(v)
        for key, v in foreign.items()
        if key not in ("multiscales",)
    )
    assert json.dumps(extending.without(more, extension)) == json.dumps(attributes)


def test_levels_are_those_of_a_conversion_of_the_whole(tmp_path, mri):
    options = {
        "nifti": {"nii": False},
        "zarr": {"chunk": 16},
        "ome": {"ome_version": "0.6"},
        "pyramid": {"levels": 3, "edge": "keep"},
    }
    whole = neurozarr.convert(mri / "anatomical.nii", tmp_path / "whole", **options)
    less = options | {"pyramid": {"levels": 1, "edge": "keep"}}
    store = neurozarr.convert(mri / "anatomical.nii", tmp_path / "part", **less)
    add(store, pyramid=options["pyramid"])
    assert others.multiscale(store)["datasets"] == others.multiscale(whole)["datasets"]
    differing = others.tree(store).items() ^ others.tree(whole).items()
    assert {name for name, _ in differing} == {"zarr.json"}


@pytest.mark.parametrize("version", [2, 3])
def test_attributes_of_others_stay_and_bytes_come_back(tmp_path, version):
    channels = {"omero": {"channels": [{"label": "DAPI"}]}}
    mine = {"nan": float("nan"), "big": 10**30, "text": "ü", "list": [{"a": 1.5}]}
    store = others.image(
        tmp_path / "a.zarr", version, names=("0", "1"), attributes=mine, ome=channels
    )
    before, was = others.tree(store), others.attributes(store)
    add(store, pyramid={"levels": 3})
    now = others.attributes(store)
    assert list(now) == list(was)
    metadata, then = now.get("ome", now), was.get("ome", was)
    assert metadata["omero"] == then["omero"]
    assert len(metadata["multiscales"][0].pop("datasets")) == 4
    assert then["multiscales"][0].pop("datasets")
    # What would also be said of level 1, which others made, is not added.
    assert metadata["multiscales"][0] == then["multiscales"][0] | {"name": "a"}
    paths, _ = paths_and_sample(store)
    documents.withdraw(paths)
    after = others.tree(store)
    assert {name: after[name] for name in before} == before


def test_levels_are_made_anew_only_if_needed(tmp_path):
    store = others.image(tmp_path / "a.zarr", dtype="f4")

    def changed(**options):
        times = {file: file.stat().st_mtime_ns for file in store.rglob("*") if file.is_file()}
        add(store, **options)
        return {
            file.relative_to(store).as_posix().removesuffix("/zarr.json").split("/c/")[0]
            for file in store.rglob("*")
            if file.is_file() and file.stat().st_mtime_ns != times.get(file)
        }

    assert changed() == {"zarr.json", "1", "2"}
    assert changed() == set()
    group = zarr.open_group(store, mode="a")
    group.attrs["mine"] = "new"  # The owner goes on to use the image.
    assert changed() == {"zarr.json"}
    assert len(others.levels(store)) == 3
    assert changed(pyramid={"levels": 2, "mode": "stride"}) == {"zarr.json", "1", "2"}
    np.testing.assert_array_equal(others.levels(store)[1], others.levels(store)[0][::2, ::2, ::2])
    assert changed(pyramid={"levels": 1, "mode": "stride"}) == {"zarr.json"}
    assert not (store / "2").exists()
    assert len(others.levels(store)) == 2
    group["0"][0, 0, 0] = 1000
    assert "1" in changed(pyramid={"levels": 1, "mode": "stride"})
    assert others.levels(store)[1][0, 0, 0] == 1000
    assert others.attributes(store)["mine"] == "new"


@pytest.mark.parametrize("what", ["file", "array", "link", "group"])
def test_what_is_there_is_never_replaced(tmp_path, what):
    store = others.image(tmp_path / "a.zarr", names=("scale0/image",))
    mine = store / "scale2/image"
    mine.parent.mkdir()
    if what == "file":
        mine.write_text("mine")
    elif what == "array":
        zarr.create_array(mine, shape=(3,), dtype="u1")[:] = 7
    elif what == "link":
        mine.symlink_to(tmp_path)
    else:
        zarr.open_group(mine.parent, mode="w").attrs["mine"] = 1
    before = others.tree(store)
    with pytest.raises(OwnershipError, match=f"can be added to {store} where {store}/scale2"):
        add(store)
    assert others.tree(store) == before


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("version", [2, 3])
def test_kill_at_any_moment_leaves_a_whole_image(tmp_path, version):
    first = others.image(
        tmp_path / "first/a.zarr", version, shape=(9, 8, 10), attributes={"mine": [1]}
    )
    zarr.consolidate_metadata(first, zarr_format=version)
    before = others.tree(first)
    whole = others.copy(first, tmp_path / "whole/a.zarr")
    add(whole, zarr={"driver": "zarr-python"})
    expected = others.tree(whole)
    levels = others.levels(whole)
    stop, ended = version - 1, False  # Every other moment for each version.
    while not ended:
        store = others.copy(first, tmp_path / f"{stop}/a.zarr")
        ended = _stopped(store, stop)
        found = others.levels(store)
        assert len(found) in (1, 3)
        for one, other in zip(found, levels, strict=False):
            np.testing.assert_array_equal(one, other)
        group = zarr.open_consolidated(store, zarr_format=version)
        listed = (group.attrs.get("ome") or group.attrs)["multiscales"][0]["datasets"]
        assert {entry["path"] for entry in listed} <= set(group.array_keys())
        now = others.tree(store)
        assert all(now[name] == before[name] for name in before if name not in GROUP)
        if stop % 5 == 0 or ended:
            add(store, zarr={"driver": "zarr-python"})
            assert others.tree(store) == expected
        shutil.rmtree(store.parent)
        stop += 2
    assert stop > 20


def _stopped(store, stop):
    """Add levels until a number of system calls; whether it was enough."""
    try:
        with power_off_at(stop):
            paths, sample = paths_and_sample(store, zarr={"driver": "zarr-python"})
            convert_sample(sample, paths, verify="none", threads=1)
    except PowerOffError:
        return False
    return True


def test_document_changed_by_others_meanwhile_is_left(tmp_path):
    store = others.image(tmp_path / "a.zarr", 2)
    paths, sample = paths_and_sample(store)
    _ = sample.attributes
    mine = others.attributes(store) | {"mine": 1}
    (store / ".zattrs").write_text(json.dumps(mine))
    with pytest.raises(StoreError, match=r"\.zattrs was changed by another program since"):
        convert_sample(sample, paths, verify="none", threads=1)
    assert others.attributes(store) == mine
    add(store)
    assert others.attributes(store)["mine"] == 1
    assert len(others.levels(store)) == 3


def test_level_that_changes_while_it_is_read_is_an_error(tmp_path):
    store = others.image(tmp_path / "a.zarr")
    paths, sample = paths_and_sample(store)
    (chunk, *_) = (store / "0/c").rglob("[0-9]")
    read = neurozarr.drivers.open_array(store / "0", "r").__class__._read
    with pytest.MonkeyPatch.context() as patch:

        def touched(array, indices):
            os.utime(next(file for file in chunk.parent.rglob("*") if file.is_file()))
            return read(array, indices)

        patch.setattr(neurozarr.drivers.open_array(store / "0", "r").__class__, "_read", touched)
        with pytest.raises(NeurozarrError, match=f"{store}/0 was changed while"):
            convert_sample(sample, paths, verify="none", threads=1)
    assert len(others.levels(store)) == 1


def test_all_images_of_a_collection_and_their_labels(tmp_path):
    store = tmp_path / "a.zarr"
    root = zarr.open_group(store, mode="w", zarr_format=2)
    for name in "01":
        others.image(store / name, 2)
    root.attrs["bioformats2raw.layout"] = 3
    zarr.open_group(store / "0/labels", mode="w", zarr_format=2).attrs["labels"] = ["cells"]
    label = {"image-label": {"version": "0.4"}}
    others.image(store / "0/labels/cells", 2, dtype="i4", ome=label)
    zarr.consolidate_metadata(store, zarr_format=2)
    with pytest.raises(ConfigError, match="several images; name one by dataset: 0, 1"):
        add(store)
    config = {"source": str(store), "output": str(tmp_path / "out"), "in_place": "true"}
    run, samples = read_run(config | {"dataset": "*", "pyramid": {"levels": 1}})
    assert list(samples) == ["a_0", "a_0_labels_cells", "a_1"]
    for name, sample in samples.items():
        convert_sample(sample, run.paths(name), verify="full", threads=1)
    group = zarr.open_consolidated(store, zarr_format=2)
    for name in ("0", "1", "0/labels/cells"):
        assert sorted(group[name].array_keys()) == ["0", "1"]
        assert len(group[name].attrs["multiscales"][0]["datasets"]) == 2
    assert others.multiscale(store / "0/labels/cells")["type"] == "mode"
    assert others.attributes(store / "0/labels") == {"labels": ["cells"]}


def without_scale(attributes):
    attributes["multiscales"][0]["datasets"][0].pop("coordinateTransformations")


def old_version(attributes):
    attributes["multiscales"][0]["version"] = "0.3"


@pytest.mark.parametrize(
    ("options", "edit", "message"),
    [
        ({}, without_scale, "its metadata give no scale of the level 0"),
        ({}, old_version, r"OME-Zarr 0\.3; in_place is for 0\.4, 0\.5, 0\.6"),
        ({"zarr": {"shard": 16}}, None, "shard is 16, but Zarr v2 has no shards"),
        ({"ome": {"ome_version": "0.5"}}, None, "'0.5'"),
        (
            {"ome": {"orientation": "RAS"}},
            None,
            r"ome\.orientation is given, but in_place only adds",
        ),
        ({"voxel_size": 3}, None, "voxel_size and in_place are both given"),
    ],
)
def test_what_cannot_be_met_is_refused_by_name(tmp_path, options, edit, message):
    store = others.image(tmp_path / "a.zarr", 2)
    if edit:
        found = others.attributes(store)
        edit(found)
        (store / ".zattrs").write_text(json.dumps(found))
    before = others.tree(store)
    with pytest.raises(ConfigError, match=message):
        add(store, **options)
    assert others.tree(store) == before
    assert not (tmp_path / "out").exists()


def test_sources_that_are_no_images_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    zarr.create_array(tmp_path / "b.zarr", shape=(2, 3, 4), dtype="u1")
    for source, message in [
        (tmp_path / "a.npy", "in_place is for OME-Zarr images, but"),
        (tmp_path / "b.zarr", "this array is no level of one"),
        ("http://127.0.0.1:9/a.zarr", "not a URL"),
    ]:
        with pytest.raises(ConfigError, match=message):
            neurozarr.convert(source, tmp_path / "out", in_place=True)


def test_same_name_for_another_image_is_an_error(tmp_path):
    one = others.image(tmp_path / "1/a.zarr")
    two = others.image(tmp_path / "2/a.zarr")
    add(one, tmp_path / "out")
    with pytest.raises(OwnershipError, match=f"levels of {one} were added under the same sample"):
        add(two, tmp_path / "out")
    one.rename(tmp_path / "3.zarr")
    (tmp_path / "3.zarr").rename(tmp_path / "a.zarr")
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "a.zarr").rglob("*")}
    add(tmp_path / "a.zarr", tmp_path / "out")  # It was only moved.
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "a.zarr").rglob("*")} == times


def test_link_in_place_of_a_document_is_an_error(tmp_path):
    store = others.image(tmp_path / "real.zarr")
    (tmp_path / "a.zarr").symlink_to(store)
    add(tmp_path / "a.zarr")
    assert len(others.levels(store)) == 3
    (store / "zarr.json").rename(tmp_path / "mine.json")
    (store / "zarr.json").symlink_to(tmp_path / "mine.json")
    with pytest.raises(StoreError, match=r"zarr\.json is a link"):
        add(store)


def test_verification_looks_at_added_levels_only(tmp_path):
    store = others.image(tmp_path / "a.zarr")
    add(store)
    report = json.loads((tmp_path / "out/verify/a.json").read_text())
    assert [level["level"] for level in report["levels"]] == [1, 2]
    chunk = store / "1/c/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[::-1])
    paths, sample = paths_and_sample(store)
    paths.verify_receipt.unlink()
    with pytest.raises(DamageError, match=r"1/c/0/0/0: its checksum differs.*block-0\.json"):
        convert_sample(sample, paths, verify="full", threads=1)


def test_jobs_of_plane_images_are_estimated(tmp_path):
    store = others.image(tmp_path / "a.zarr", axes="cyx", shape=(2, 40, 50))
    _, sample = paths_and_sample(store)
    assert bundles.memory_mb([sample], "full", 2, pages=True) < 1000
    assert bundles.threads([sample], bundles=1, cores=2) >= 1
    add(store)
    assert [level.shape for level in others.levels(store)] == [
        (2, 40, 50),
        (2, 20, 25),
        (2, 10, 12),
    ]

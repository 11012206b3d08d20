"""Labels beneath an image: where they lie, when they are listed, and what becomes of them."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import nibabel
import numpy as np
import ome_zarr_models
import pytest
import yaozarrs
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

import neurozarr
from neurozarr.errors import ConfigError, DamageError, OwnershipError
from neurozarr.run import ownership, publishing
from neurozarr.samples import arguments, rerun
from neurozarr.samples.reading import read_run
from neurozarr.steps.convert_bundle import convert_sample
from neurozarr.steps.export_nifti import export_nifti
from neurozarr.steps.verify_store import verify_store

from .conversions import DRIVER
from .power import PowerOffError, power_off_at

SHAPE = (10, 9, 8)
COLORS = {"colors": [{"label-value": 3, "rgba": [255, 0, 0, 255]}]}


class Sheet:
    """A sheet with an image "a" and labels of it, and what a run of it makes."""

    def __init__(self, folder, *labels, dtype="u2", **config):
        self.folder, self.config = folder, config
        self.out = folder / "out"
        for seed, name in enumerate(["a", *labels]):
            voxels = np.random.default_rng(seed).choice([0, 3, 90, 251], SHAPE)
            image = nibabel.Nifti1Image(voxels.astype(dtype if seed else "i2"), np.eye(4))
            image.to_filename(folder / f"{name}.nii")
        self.write({"a": ""} | dict.fromkeys(labels, "a"))

    def write(self, rows):
        lines = [f"{name}\t{self.folder / name}.nii\t{of}\n" for name, of in rows.items()]
        (self.folder / "s.tsv").write_text("".join(["sample\tsource\tlabel_of\n", *lines]))

    def read(self):
        defaults = {"zarr": {"chunk": 8}, "samples": f"{self.folder}/s.tsv"}
        return read_run(defaults | {"output": str(self.out)} | self.config)

    def run(self, *, stop=None, after=None, verify="none"):
        """Convert what is to be done, at most until a system call; what was to be done."""
        run, samples = self.read()
        done = []
        with suppress(PowerOffError), power_off_at(stop, after=after):
            for sample in samples.values():
                paths = run.paths(sample.name)
                sample.check()
                ownership.check(paths)
                if not rerun.Todo(sample, paths, verify=verify).is_done():
                    done.append(sample.name)
                    convert_sample(sample, paths, verify=verify, threads=1)
        return done

    @property
    def store(self):
        (found,) = self.out.glob("a.*.zarr")
        return found

    @property
    def listed(self):
        """The names that a reader finds."""
        with suppress(FileNotFoundError):
            attributes = dict(zarr.open_group(self.store / "labels", mode="r").attrs)
            return attributes.get("ome", attributes)["labels"]
        return []

    def tree(self):
        files = (path for path in self.out.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.out)): path.read_bytes()
            for path in files
            if ".state" not in path.parts
        }


@pytest.mark.parametrize("nii", [True, False])
@pytest.mark.parametrize("version", [2, 3])
def test_other_readers_find_labels_through_their_image(tmp_path, version, nii):
    sheet = Sheet(
        tmp_path,
        *("one", "two"),
        zarr={"chunk": 8, "zarr_version": version},
        nifti={"nii": nii},
        verify="full",
    )
    assert sheet.run(verify="full") == ["a", "a/labels/one", "a/labels/two"]
    assert sheet.listed == ["one", "two"]
    yaozarrs.validate_zarr_store(str(sheet.store))
    models = ome_zarr_models.v04 if version == 2 else ome_zarr_models.v05
    assert models.Image.from_zarr(zarr.open_group(sheet.store, mode="r")).labels is not None
    nodes = list(Reader(parse_url(str(sheet.store)))())
    assert [node.zarr.basename() for node in nodes[2:]] == ["one", "two"]
    for node in nodes[2:]:
        image = nibabel.load(tmp_path / f"{node.zarr.basename()}.nii")
        np.testing.assert_array_equal(np.asarray(node.data[0]).T, np.asarray(image.dataobj))
        assert set(np.unique(np.asarray(node.data[1]))) <= {0, 3, 90, 251}
    (first, *_) = Reader(parse_url(str(sheet.store / "labels/one")))()
    assert first.zarr.basename() == sheet.store.name
    assert sheet.run(verify="full") == []
    if nii:
        paths = sheet.read()[0].paths("a/labels/one")
        paths.export(0).parent.mkdir(parents=True)
        export_nifti(paths, 0, driver=DRIVER, threads=1)
        back = nibabel.load(sheet.out / "nifti/a/labels/one_level-0.nii.gz")
        np.testing.assert_array_equal(back.dataobj, nibabel.load(tmp_path / "one.nii").dataobj)


@pytest.mark.parametrize("version", [2, 3])
def test_list_never_names_a_label_that_is_not_published(tmp_path, version):
    sheet = Sheet(tmp_path, "one", "two", zarr={"chunk": 8, "zarr_version": version})
    seen = []

    def look():
        labels = sheet.out / "a.nii.zarr/labels"
        if (labels / (".zgroup" if version == 2 else "zarr.json")).exists():
            found = json.loads((labels / (".zattrs" if version == 2 else "zarr.json")).read_text())
            seen.append(tuple(found.get("attributes", {}).get("ome", found)["labels"]))
            for name in seen[-1]:
                assert (labels / name / (".zgroup" if version == 2 else "zarr.json")).exists()
                assert (labels / name / "nifti").exists()

    sheet.run(after=look)
    # Both are made again, one after the other.
    sheet.config["zarr"] = {"chunk": 16, "zarr_version": version}
    sheet.run(after=look)
    assert {("one",), ("two",), ("one", "two")} == set(seen)


@pytest.mark.parametrize("stop", range(2, 60, 12))
def test_conversion_killed_anywhere_ends_in_the_same_bytes(tmp_path, stop):
    made = Sheet(tmp_path, "one", zarr={"chunk": 16})
    made.run()
    whole = made.tree()
    group = made.out / "a.nii.zarr/labels/one"
    (group / "0/c/0/0/0").unlink()
    (made.out / ".state/a.nii.zarr/labels/one/0/array.json").unlink()
    made.run(stop=stop)
    assert all((group.parent / name / "zarr.json").exists() for name in made.listed)
    made.run()
    assert made.tree() == whole
    assert made.run() == []


def test_labels_that_are_published_at_once_are_all_listed(tmp_path):
    names = [f"n{number}" for number in range(4)]
    sheet = Sheet(tmp_path, *names)
    sheet.run()
    run, _ = sheet.read()
    shutil.rmtree(sheet.store / "labels/n0")
    documents = {
        name: {"zarr.json": json.loads((sheet.store / f"labels/{name}/zarr.json").read_text())}
        for name in names[1:]
    }

    def again(name):
        paths = run.paths(f"a/labels/{name}")
        for _ in range(5):
            publishing.unpublish(paths)
            publishing.publish(paths, documents[name])

    with ThreadPoolExecutor(len(documents)) as pool:
        list(pool.map(again, documents))
    assert sheet.listed == names[1:]


def test_list_that_is_lost_or_edited_is_written_again(tmp_path):
    sheet = Sheet(tmp_path, "one", "two")
    sheet.run()
    whole, file = sheet.tree(), sheet.store / "labels/zarr.json"
    file.unlink()
    assert sheet.run() == ["a/labels/one"]
    assert sheet.tree() == whole
    for edited in (["one", "two", "three"], []):
        document = json.loads(file.read_text())
        document["attributes"]["ome"]["labels"] = edited
        file.write_text(json.dumps(document))
        assert sheet.run()
        assert sheet.tree() == whole
    file.write_text("{")
    run, samples = sheet.read()
    label, paths = samples["a/labels/one"], run.paths("a/labels/one")
    told = arguments.verify_store(label, paths)
    with pytest.raises(DamageError, match="labels/one: the list of labels does not name it"):
        verify_store(paths, verify="quick", **told, threads=1)
    sheet.run()
    paths.report.unlink()
    assert sheet.tree() == whole


def test_label_that_is_not_in_the_sheet_any_more_is_kept_and_listed(tmp_path):
    sheet = Sheet(tmp_path, "one", "two")
    sheet.run()
    whole = sheet.tree()
    sheet.write({"a": "", "two": "a"})
    sheet.config["zarr"] = {"chunk": 4}
    assert sheet.run() == ["a", "a/labels/two"]
    assert sheet.listed == ["one", "two"]
    kept = {name: content for name, content in sheet.tree().items() if "labels/one/" in name}
    assert kept == {name: content for name, content in whole.items() if "labels/one/" in name}
    shutil.rmtree(sheet.store / "labels/two")
    sheet.write({"a": "", "two": "a"})
    assert sheet.run() == ["a/labels/two"]
    assert sheet.listed == ["one", "two"]


@pytest.mark.parametrize("deleted", [".", "labels", "labels/one"])
def test_deleted_labels_are_made_again(tmp_path, deleted):
    sheet = Sheet(tmp_path, "one")
    sheet.run()
    whole = sheet.tree()
    shutil.rmtree(sheet.store / deleted)
    assert "a/labels/one" in sheet.run()
    assert sheet.tree() == whole


@pytest.mark.parametrize("foreign", ["mine/0/zarr.json", "x", "one/x", "link"])
def test_labels_of_others_are_refused(tmp_path, foreign):
    sheet = Sheet(tmp_path, "one")
    sheet.run()
    # Snakemake makes directories before a job that may not get to write anything.
    (sheet.store / "labels/empty/0").mkdir(parents=True)
    assert sheet.run() == []
    place = sheet.store / "labels" / foreign
    place.parent.mkdir(exist_ok=True, parents=True)
    if foreign == "link":
        place.symlink_to(tmp_path)
    else:
        place.write_text('{"precious": true}')
    before = sheet.tree()
    sheet.config["zarr"] = {"chunk": 4}
    with pytest.raises(OwnershipError, match=rf"labels/{foreign} was not written by this"):
        sheet.run()
    assert {n: c for n, c in sheet.tree().items() if "labels" in n} == {
        n: c for n, c in before.items() if "labels" in n
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": "", "one": "b"}, r"line 3: label_of is 'b'; known: a, b/labels/one"),
        (
            {"a": "", "one": "a/labels/x"},
            "label_of is 'a/labels/x'; allowed: name of the sample, an image",
        ),
        ({"a": "one", "one": "a"}, "line 2: label_of is 'one'; known"),
        ({"a": "", "one": "a", "x.json": "a"}, "whose name must not end in .json"),
    ],
)
def test_wrong_labels_of_a_sheet_are_refused(tmp_path, rows, message):
    sheet = Sheet(tmp_path, "one", "x.json")
    sheet.write(rows)
    with pytest.raises(ConfigError, match=message):
        sheet.read()


@pytest.mark.parametrize(("dtype", "nii"), [("f4", True), ("f8", False)])
def test_labels_beneath_an_image_are_integers(tmp_path, dtype, nii):
    sheet = Sheet(tmp_path, "one", dtype=dtype, nifti={"nii": nii})
    with pytest.raises(ConfigError, match=r"one\.nii: its data type is float\d\d, but"):
        sheet.run()


def ome_zarr_with_labels(path, version):
    """An image with two labels, by ome-zarr-py."""
    from ome_zarr import format, writer  # Its import warns of something deprecated.

    style = {2: format.FormatV04(), 3: format.FormatV05()}[version]
    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    values = np.random.default_rng(0).choice([0, 3, 250], SHAPE).astype("u2")
    writer.write_image(values * 4, root, axes="zyx", fmt=style, scaler=None)
    for name in ("nuclei", "whole cells"):
        writer.write_labels(
            values, root, name, axes="zyx", fmt=style, scaler=None, label_metadata=COLORS
        )
    return values


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", [2, 3])
def test_labels_of_an_ome_zarr_come_along(tmp_path, version):
    values = ome_zarr_with_labels(tmp_path / "a.ome.zarr", version)
    modes = {"pyramid": {"mode": "median"}, "ome": {"name": "mine"}, "zarr": {"chunk": 8}}
    store = neurozarr.convert(tmp_path / "a.ome.zarr", tmp_path / "out", **modes)
    group = zarr.open_group(store, mode="r")
    assert group["labels"].attrs["ome"]["labels"] == ["nuclei", "whole_cells"]
    label = group["labels/nuclei"]
    np.testing.assert_array_equal(label["0"][...], values)
    (image,) = label.attrs["ome"]["multiscales"]
    assert (image["name"], image["type"]) == ("nuclei", "mode")
    assert label.attrs["ome"]["image-label"] == COLORS | {"source": {"image": "../../"}}
    # They come along again, from a store that neurozarr wrote.
    again = neurozarr.convert(store, tmp_path / "again", **modes)
    assert zarr.open_group(again, mode="r")["labels"].attrs == group["labels"].attrs


@pytest.mark.filterwarnings("ignore")
def test_labels_stay_behind_if_a_row_is_about_the_array_or_describes_it(tmp_path, caplog):
    ome_zarr_with_labels(tmp_path / "a.ome.zarr", 3)
    array = next(path.parent.name for path in (tmp_path / "a.ome.zarr").glob("*0/zarr.json"))

    def names(**cells):
        row = {"sample": "a", "source": tmp_path / "a.ome.zarr"} | cells
        text = "\t".join(row) + "\n" + "\t".join(map(str, row.values())) + "\n"
        Path(tmp_path / "s.tsv").write_text(text)
        return list(read_run({"samples": str(tmp_path / "s.tsv")})[1])

    assert names() == ["a", "a/labels/nuclei", "a/labels/whole_cells"]
    assert names(dataset=array) == ["a"]
    assert names(dataset="labels/nuclei") == ["a"]
    assert not caplog.messages
    assert names(voxel_size="2") == ["a"]
    assert "its source also has the labels nuclei, whole cells, which are left out" in caplog.text
    document = json.loads((tmp_path / "a.ome.zarr/labels/zarr.json").read_text())
    document["attributes"]["ome"]["labels"] += ["lost", "../../b"]
    (tmp_path / "a.ome.zarr/labels/zarr.json").write_text(json.dumps(document))
    assert len(names()) == 3
    assert "its list of labels names 'lost', which is none" in caplog.text

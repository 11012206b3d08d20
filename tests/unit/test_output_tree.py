"""Names and directories of stores that keep the directories of their sources."""

import os

import pytest

from neurozarr import convert
from neurozarr.errors import ConfigError
from neurozarr.samples.reading import read_run

from .bids_sets import VOXELS, data_set, image, text


def names(source, **options):
    """Names of the samples of a run whose output is "out"."""
    config = {"source": source, "output": "out", "output_tree": True} | options
    return list(read_run(config)[1])


@pytest.fixture(autouse=True)
def _directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("in/**/*.nii.gz", "a/b/x"),
        ("in/*/b/x.nii.gz", "a/b/x"),
        ("./in/a/*/*.nii.gz", "b/x"),
        ("in/a/b/*.nii.gz", "x"),
        ("in/../in/**/*.nii.gz", "a/b/x"),
        ("in/*/../a/b/*.nii.gz", "a/b/x"),
        ("**/*.nii.gz", "in/a/b/x"),
        ("link/**/*.nii.gz", "b/x"),
    ],
)
def test_tree_begins_at_the_first_wildcard(tmp_path, pattern, name):
    image(tmp_path / "in/a/b/x.nii.gz")
    (tmp_path / "link").symlink_to("in/a")
    found = names(pattern)
    assert found[0] == name
    absolute = names(str(tmp_path / pattern.removeprefix("./")))
    assert absolute == found


def test_same_file_names_in_several_patterns_do_not_clash(tmp_path):
    for path in ("one/a/x.nii.gz", "one/b/x.nii.gz", "two/c/x.nii.gz"):
        image(tmp_path / path)
    assert names(["one/*/*.nii.gz", "two/*/*.nii.gz"]) == ["a/x", "b/x", "c/x"]
    with pytest.raises(ConfigError, match=r"one/a/x.nii.gz and one/b/x.nii.gz; .* output_tree: tr"):
        names("one/*/*.nii.gz", output_tree=False)


def test_names_of_directories_follow_the_rule_for_files(tmp_path):
    image(tmp_path / "in/Größe (1)/(+)/x y.nii.gz")
    assert names("in/**/*.nii.gz") == ["Grosse_1/directory/x_y"]


def test_directory_named_labels_is_a_directory(tmp_path):
    for path in ("in/a/labels/x.nii.gz", "in/labels/x.nii.gz", "in/a.nii.gz"):
        image(tmp_path / path)
    run, samples = read_run({"source": "in/**/*.nii.gz", "output": "out", "output_tree": True})
    assert sorted(samples) == ["a", "a/labels/x", "labels/x"]
    stores = {str(run.paths(one.name).store) for one in samples.values()}
    assert stores == {"out/a.nii.zarr", "out/a/labels/x.nii.zarr", "out/labels/x.nii.zarr"}
    assert all(one.image is None for one in samples.values())


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["in/nifti/x.nii.gz"], "its store would be in nifti of the output"),
        (["in/verify/x.nii.gz"], "its store would be in verify of the output"),
        (["in/x.nii.gz", "in/x.nii.zarr/y.nii.gz"], "would be within that of in/x.nii.gz"),
    ],
)
def test_place_that_others_need_is_refused(tmp_path, paths, message):
    for path in paths:
        image(tmp_path / path)
    with pytest.raises(ConfigError, match=message):
        names("in/**/*.nii.gz")


def test_match_outside_the_tree_is_refused(tmp_path):
    image(tmp_path / "other/x.nii.gz")
    (tmp_path / "in/a").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"below in, but in/a/../../other/x.nii.gz does not"):
        names("in/*/../../other/*.nii.gz")


def test_source_without_wildcards_is_refused(tmp_path):
    image(tmp_path / "in/a/x.nii.gz")
    with pytest.raises(ConfigError, match=r"source in/a/x.nii.gz has no wildcards, .* in quotes"):
        names(["in/a/x.nii.gz"])


@pytest.mark.parametrize(
    ("option", "name"),
    [({"output_tree": True}, "output_tree"), ({"bids": {"suffix": "T1w"}}, "bids.suffix")],
)
def test_sheet_has_no_tree_and_no_filters(tmp_path, option, name):
    text(tmp_path / "sheet.tsv", "sample\tsource\n")
    with pytest.raises(ConfigError, match=f"{name} and samples are both given"):
        read_run({"samples": "sheet.tsv"} | option)


def test_stores_in_a_tree_are_not_sources_of_the_next_run(tmp_path):
    image(tmp_path / "out/a/x.nii.gz")
    config = {"source": "out/**/*.gz", "output": "out", "output_tree": True}
    text(tmp_path / "out/.state/a/x.nii.zarr/0/array.json", {})
    text(tmp_path / "out/a/x.nii.zarr/zarr.json", {})
    text(tmp_path / "out/a/x.nii.zarr/0/y.nii.gz")
    assert "a/x" in read_run(config)[1]
    assert "a/x.nii.zarr/0/y" not in read_run(config)[1]


def test_images_of_a_data_set_keep_their_tree(tmp_path):
    paths = [f"sub-01/ses-{e}/anat/sub-01_ses-{e}_T1w.nii.gz" for e in "ab"]
    data_set(tmp_path / "bids", *paths)
    for source in ("bids", "bids/", str(tmp_path / "bids"), ["bids"]):
        run, samples = read_run({"source": source, "output": "out"})
        assert list(samples) == [path.removesuffix(".nii.gz") for path in paths]
        assert list(run.datasets) == [""]
    for filters, count in (({"session": "b", "suffix": ["T1w"]}, 1), ({"session": "a,b"}, 2)):
        assert len(read_run({"source": "bids", "bids": filters})[1]) == count


def test_several_data_sets_have_a_derivative_each(tmp_path):
    for name in ("one", "two.v1"):
        data_set(tmp_path / "sets" / name, "sub-01/anat/sub-01_T1w.nii.gz")
    config = {"source": "sets/*", "output": "out", "output_tree": True}
    run, samples = read_run(config)
    assert list(samples) == [f"{name}/sub-01/anat/sub-01_T1w" for name in ("one", "two.v1")]
    assert run.datasets == {"one/": ["sets/one"], "two.v1/": ["sets/two.v1"]}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bids": {"subject": 1}}, "bids.subject is 1; allowed: label of a subject in quotes"),
        ({"bids": {"subjct": "1"}}, "unknown option bids.subjct; did you mean subject"),
        ({"bids": {"subject": "02"}}, "bids.subject is '02', but no image of bids has it"),
        ({"output": "bids"}, "output bids is among the images of the BIDS data set bids"),
        ({"output": "bids/sub-01/x"}, "choose another, such as bids/derivatives/neurozarr"),
        ({"source": "bids/sub-01"}, 'write source: bids and bids: {subject: "01"}'),
        ({"source": "other", "bids": {"suffix": "T1w"}}, "bids.suffix is given, but source is not"),
    ],
)
def test_wrong_option_for_a_data_set_is_explained(tmp_path, config, message):
    data_set(tmp_path / "bids", "sub-01/anat/sub-01_T1w.nii.gz")
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError) as error:
        read_run({"source": "bids"} | config)
    assert message in str(error.value)


def test_file_that_git_annex_has_not_got_is_explained(tmp_path):
    data_set(tmp_path / "bids")
    link = tmp_path / "bids/sub-01/anat/sub-01_T1w.nii.gz"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../.git/annex/objects/x/MD5E-s1.nii.gz")
    with pytest.raises(ConfigError, match=r"T1w.nii.gz: its content is not here, only a link of"):
        read_run({"source": "bids"})


def test_images_below_a_directory_are_counted_with_the_option(tmp_path):
    image(tmp_path / "in/a/x.nii.gz")
    with pytest.raises(ValueError, match=r"source='in/\*\*/\*.nii.gz' \(with output_tree=true"):
        convert("in", "out")


def test_call_converts_the_image_of_a_data_set(tmp_path):
    data_set(tmp_path / "bids", "sub-01/anat/sub-01_T1w.nii.gz")
    text(tmp_path / "bids/T1w.json", {"EchoTime": 1})
    store = convert("bids", "out", bids={"suffix": "T1w"})
    assert str(store) == "out/sub-01/anat/sub-01_T1w.nii.zarr"
    assert (tmp_path / "out/sub-01/anat/sub-01_T1w.json").read_text() == '{"EchoTime": 1}'
    assert sorted(os.listdir("out")) == [
        ".bidsignore", ".state", "dataset_description.json", "sub-01", "verify"
    ]  # fmt: skip
    image(tmp_path / "bids/sub-02/anat/sub-02_T1w.nii.gz", VOXELS + 1)
    with pytest.raises(ConfigError, match="2 images; convert them one by one"):
        convert("bids", "out")

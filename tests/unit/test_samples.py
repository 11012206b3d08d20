"""Configurations and sample sheets: the samples that they define, and errors in them."""

import contextlib
import os
import shutil

import h5py
import nibabel
import numpy as np
import pytest
import zarr

from neurozarr import nifti
from neurozarr.errors import ConfigError
from neurozarr.samples.reading import read_run


@pytest.fixture(autouse=True)
def directory(tmp_path, mri, monkeypatch):
    """A working directory with two images."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.nii", "b.nii"):
        shutil.copy(mri / "anatomical.nii", name)
    return tmp_path


@pytest.fixture
def read(root):
    def read(config):
        return read_run(config)

    return read


@pytest.fixture
def read_sheet(read):
    def read_sheet(*lines, **config):
        with open("samples.tsv", "w") as file:
            file.write("".join("\t".join(line.split("|")) + "\n" for line in lines))
        return read({"samples": "samples.tsv"} | config)[1]

    return read_sheet


def test_defaults_are_filled_in(read):
    run, samples = read({"source": "a.nii"})
    assert (run.output, run.nii, run.zarr_version) == ("results", True, 3)
    sample = samples["a"]
    assert sample.zarr.chunk == 128
    assert (sample.options["pyramid"]["mode"], sample.zarr.levels) == ("auto", -1)
    assert sample.attributes["ome"]["multiscales"][0]["name"] == "a"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a.nii", ["a"]),
        (["b.nii", "a.nii"], ["b", "a"]),
        ("*.nii", ["a", "b"]),
        (["a.nii", "b*"], ["a", "b"]),
    ],
)
def test_source_is_a_file_a_list_or_a_glob(read, source, names):
    assert list(read({"source": source})[1]) == names


def test_glob_does_not_match_files_that_a_run_writes(read, directory, caplog):
    (directory / "results/.state/a.nii.zarr").mkdir(parents=True)
    for place, name in (
        ("results/nifti", "a_level-0"),
        ("results", "mine"),
        ("results/a.nii.zarr", "x"),
        ("logs", "y"),
        ("benchmarks", "z"),
        (".snakemake", "w"),
        ("deep/logs", "c"),
    ):
        (directory / place).mkdir(parents=True, exist_ok=True)
        shutil.copy("a.nii", directory / place / f"{name}.nii")
    (directory / "linked").symlink_to("results")
    assert list(read({"source": "**/*.nii"})[1]) == ["a", "b", "c"]
    (message,) = [record.getMessage() for record in caplog.records]
    assert "source '**/*.nii': 8 matches are ignored" in message
    assert "1 in benchmarks, 6 in results, 1 in logs" in message
    # Other files in the output are found if the glob starts there.
    for output in ("results", "linked", str(directory / "results")):
        assert list(read({"source": "results/**/*.nii", "output": output})[1]) == ["mine"]
    assert list(read({"source": ["results/nifti/a_level-0.nii"]})[1]) == ["a_level-0"]
    with pytest.raises(ConfigError, match=r"source 'logs/\*' matches no file"):
        read({"source": "logs/*"})


def test_glob_of_slices_gets_the_output_directory(read_sheet):
    samples = read_sheet("sample|source", "s|*.nii", "a|a.nii", output="results")
    assert samples["s"].layout == {"output": "results"}
    assert samples["a"].layout == {}


def test_globs_are_in_natural_order(read):
    for number in (10, 9, 1):
        shutil.copy("a.nii", f"s{number}.nii")
    assert list(read({"source": "s*.nii"})[1]) == ["s1", "s9", "s10"]


@pytest.mark.parametrize(
    "pair", [(".hdr", ".img"), (".PAR", ".REC"), ("+orig.HEAD", "+orig.BRIK.gz")]
)
def test_both_files_of_a_pair_are_one_sample(read, pair):
    for suffix in pair:
        (open("pair" + suffix, "w")).close()
    samples = read({"source": "pair*"})[1]
    assert [sample.path for sample in samples.values()] == [f"pair{pair[0]}"]


def test_sheet_has_one_line_for_each_sample(read_sheet):
    samples = read_sheet(
        "sample|source|voxel_size|unit|pyramid.mode|zarr.chunk|zarr.shard|ome.name|ome.ome_version",
        "one|a.nii||||||",
        "two|b.nii|1, 2,3|um|mode|[8, 16, 32]|auto|5|0.5",
        "three|b.nii|0.5",
        pyramid={"mode": "median"},
    )
    assert [sample.mode for sample in samples.values()] == ["median", "mode", "median"]
    one, two, three = samples.values()
    assert (one.voxel_size, one.unit, one.zarr.chunk, one.zarr.shard) == (None, None, 128, None)
    assert two.voxel_size == (1, 2, 3)
    assert two.zarr.chunk == (8, 16, 32)
    assert two.zarr.shard == "auto"
    assert two.options["ome"] | {"name": "5", "ome_version": "0.5"} == two.options["ome"]
    assert two.source.space_unit == "micrometer"
    assert three.voxel_size == (0.5,) * 3


def test_text_from_the_command_line_is_parsed_as_yaml(read):
    zarr = {"chunk": ["64", "32", "16"], "shard": "null", "compressor_options": {"clevel": "1"}}
    sample = read({"source": "a.nii", "zarr": zarr, "pyramid": {"levels": "2"}})[1]["a"]
    assert sample.zarr.chunk == (64, 32, 16)
    assert sample.zarr.shard is None
    assert sample.zarr.compressor_options == {"clevel": 1}
    assert len(sample.levels) == 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"source": "a.nii", "samples": "s.tsv"}, "config: samples and source are both given"),
        ({"sources": "a.nii"}, "config: unknown option sources; did you mean source?"),
        ({"source": "a.nii", "zarr": {"chunks": 3}}, "config: unknown option zarr.chunks; did you"),
        ({"source": "a.nii", "zarr": {"xyz": 3}}, "unknown option zarr.xyz; known: zarr_version, "),
        ({"source": "a.nii", "zarr": 3}, "config: zarr is 3; allowed: options"),
        ({"source": "a.nii", "zarr": {"chunk": 0}}, "config: zarr.chunk is 0; allowed: chunk shap"),
        ({"source": "a.nii", "pyramid": {"mode": "max"}}, "pyramid.mode is 'max'; allowed: how"),
        ({"source": "a.nii", "nifti": {"nii": "maybe"}}, "nifti.nii is 'maybe'; allowed: true"),
        (
            {"source": "a.nii", "zarr": {"compressor": "zlib"}},
            "config: compressor is 'zlib', which",
        ),
        ({"source": 3}, "config: source is 3; allowed: a file, a list of files, a glob"),
        ({"source": []}, "config: source is []; allowed"),
        ({"source": "c.nii"}, "config: source c.nii does not exist"),
        ({"source": "c*.nii"}, "config: source 'c*.nii' matches no file"),
        (
            {"source": "a.nii", "output": "{x}"},
            "config: output is '{x}'; curly brackets in it",
        ),
        ({"source": "a.nii", "output": "s3://b/x"}, "config: output s3://b/x: s3:// is not suppor"),
        ({"source": "a.nii", "output": "http://b/x"}, "http:// is not supported; give a path"),
        ({"source": "gs://b/x.zarr"}, "source gs://b/x.zarr: gs:// is not supported; give a path,"),
        ({"samples": "file:///a.tsv"}, "samples file:///a.tsv: file:// is not supported; give a p"),
        ({"source": "a.nii", "nifti": {"header": "az://a"}}, "nifti.header az://a: az:// is not"),
        ({"source": "a.nii", "output": "$NONE/x"}, "the environment variable NONE is not set"),
        ({"source": "a.nii", "output": "~nobody-9/x"}, "output ~nobody-9/x: there is no user nobo"),
        ({"source": "a.nii", "output": "x" * 300}, "has 300 bytes, but the file system of /"),
        ({"source": "a.nii", "output": "x/" * 2000}, "bytes, but the file system of /"),
        ({"samples": "none.tsv"}, "config: samples none.tsv cannot be read: No such file"),
        ({"source": ["a.nii", "./a.nii"]}, "two samples are named 'a': a.nii and ./a.nii"),
    ],
    ids=str,
)
def test_wrong_configuration_is_named_in_one_line(read, config, message):
    with pytest.raises(ConfigError) as error:
        read(config)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("written", ["~/{}", "$DATA/{}", "${{DATA}}/sub/../{}", "$HOME/./{}"])
def test_home_and_variables_are_expanded_in_every_path(read, directory, monkeypatch, written):
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("DATA", str(directory))
    os.mkdir("sub")
    with open("sheet.tsv", "w") as file:
        cells = map(written.format, ("b.nii", "a.nii"))
        file.write("\t".join(("sample\tsource\tnifti.header\nx", *cells)))
    config = {
        "samples": written.format("sheet.tsv"),
        "output": written.format("out"),
        "nifti": {"header": written.format("b.nii")},
    }
    run, samples = read(config)
    assert run.output == str(directory / "out")
    assert os.path.samefile(samples["x"].path, "b.nii")
    assert os.path.samefile(samples["x"].options["nifti"]["header"], "a.nii")
    config |= {"samples": None, "source": [written.format("[a]*.nii")]}
    (sample,) = read(config)[1].values()
    assert os.path.samefile(sample.path, "a.nii")
    assert os.path.samefile(sample.options["nifti"]["header"], "b.nii")


@pytest.mark.parametrize(
    "name", ["$NONE.nii", "~a.nii", "${NONE}x.nii", "$.nii", "{z}.nii", "[1].nii"]
)
def test_existing_file_is_not_taken_for_a_pattern(read, name):
    os.rename("a.nii", name)
    with contextlib.suppress(ConfigError):  # Not a valid sample name.
        read({"source": name})
    with open("sheet.tsv", "w") as file:
        file.write(f"sample\tsource\nx\t{name}\n")
    (sample,) = read({"samples": "sheet.tsv"})[1].values()
    assert os.path.samefile(sample.path, name)
    assert sample.source.shape == (25, 41, 33)


@pytest.mark.parametrize(
    ("output", "normal"),
    [
        ("../o", "../o"),
        ("./o/.//p/", "o/p"),
        ("a/../o", "o"),
        ("link/../o", "{}/else/o"),
        ("//{}/o", "{}/o"),
        (".", "."),
        ("a\\b c", "a\\b c"),
    ],
)
def test_output_path_is_interpreted_as_in_a_shell(read, directory, output, normal):
    (directory / "else/deep").mkdir(parents=True)
    (directory / "link").symlink_to("else/deep")
    run, _ = read({"source": "a.nii", "output": output.format(directory)})
    assert run.output == normal.format(directory)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["sample|file", "a|a.nii"], "samples.tsv: unknown column 'file'"),
        (["sample|pyramid.mod", "a|mean"], "column 'pyramid.mod'; did you mean pyramid.mode?"),
        (
            ["sample|source|nifti.nii", "a|a.nii|true"],
            "'nifti.nii' must be the same for all samples",
        ),
        (["sample|source|zarr.zarr_version", "a|a.nii|2"], "must be the same for all samples"),
        (["sample", "a"], "column 'source' is missing"),
        (["sample|source|source", "a|a.nii|b.nii"], "there are two columns 'source'"),
        (["sample|source"], "samples.tsv: the sheet has no samples"),
        (["sample|source", "a|a.nii|x"], "samples.tsv, line 2: more cells than columns"),
        (["sample|source", "a|"], "samples.tsv, line 2: source is missing"),
        (["sample|source", "a|a.nii", "a|b.nii"], "line 3: two samples are named 'a': a.nii"),
        (["sample|source", "../a|a.nii"], "line 2: sample is '../a'; allowed: a name of letters"),
        (["sample|source", "a/b|a.nii"], "line 2: sample is 'a/b'; allowed: a name of letters"),
        (["sample|source", ".a|a.nii"], "line 2: sample is '.a'"),
        (
            ["sample|source", f"a{'0' * 20}|a.nii"],
            "does not end with the same characters twenty times",
        ),
        (["sample|source", "a b|a.nii"], "line 2: sample is 'a b'"),
        (["sample|source", "a|c.nii"], "line 2: source c.nii does not exist"),
        (["sample|source", "a|s3://c.nii"], "line 2: source s3://c.nii: s3:// is not supported"),
        (
            ["sample|source", "a|$NONE/c.nii"],
            "line 2: source $NONE/c.nii: the environment variable",
        ),
        (["sample|source|nifti.header", "a|a.nii|~nobody-9"], "line 2: nifti.header ~nobody-9: th"),
        (["sample|source|voxel_size", "a|a.nii|big"], "line 2: voxel_size is 'big'; allowed"),
        (["sample|source|axes", "a|a.nii|abc"], "line 2: axes is 'abc'; allowed: names of"),
        (["sample|source|pyramid.mode", "a|a.nii|max"], "line 2: pyramid.mode is 'max'; allowed"),
        (["sample|source|zarr.chunk", "a|a.nii|[1"], "line 2: zarr.chunk is '[1'; allowed"),
    ],
    ids=str,
)
def test_wrong_sheet_is_named_in_one_line(read_sheet, lines, message):
    with pytest.raises(ConfigError) as error:
        read_sheet(*lines)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_sheet_that_is_not_text_is_an_error(read):
    shutil.copy("a.nii", "samples.tsv")
    with pytest.raises(ConfigError, match=r"samples\.tsv is not UTF-8 text"):
        read({"samples": "samples.tsv"})


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_unreadable_source_is_an_error(read):
    os.chmod("a.nii", 0)
    with pytest.raises(ConfigError, match=r"a\.nii cannot be read: permission denied"):
        read({"source": "a.nii"})


def test_unsuitable_options_are_errors_of_the_plan(read, mri):
    nibabel.Nifti1Image(np.zeros((9, 9, 9), "c8"), np.eye(4)).to_filename("complex.nii")
    config = {"source": "complex.nii", "zarr": {"chunk": 4}, "pyramid": {"mode": "median"}}
    with pytest.raises(ConfigError, match="'median', which is not defined for dtype complex64"):
        read(config)[1]["complex"].check()
    with pytest.raises(ConfigError, match=r"shard is \(8, 9\); allowed for 3 axes"):
        read({"source": "a.nii", "zarr": {"shard": [8, 9]}})[1]["a"].check()
    with pytest.raises(ConfigError, match=r"fill_value is 0\.5, which dtype int16 cannot hold"):
        read({"source": "a.nii", "zarr": {"fill_value": 0.5}})[1]["a"].check()


def test_unit_that_nifti_lacks_is_converted_only_in_the_header(read_sheet):
    sample = read_sheet("sample|source|unit", "one|a.nii|nanometer")["one"]
    axes = sample.attributes["ome"]["multiscales"][0]["axes"]
    assert {axis["unit"] for axis in axes} == {"nanometer"}
    assert nifti.header_json(sample.header)["Unit"]["L"] == "um"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"ome": {"channel_names": ["a", "b"]}},
            "channel_names has 2 values, but .* has 1 channels",
        ),
        ({"ome": {"channel_colors": ["FF0000"] * 3}}, "ome.channel_colors has 3 values"),
        ({"nifti": {"header": "none.nii"}}, "nifti.header none.nii: there is no such file"),
    ],
)
def test_unsuitable_options_are_errors_before_any_job(read, options, message):
    with pytest.raises(ConfigError, match=message):
        read({"source": "a.nii"} | options)[1]["a"].check()


def test_levels_to_export_that_do_not_exist_are_said(read, caplog):
    sample = read({"source": "a.nii", "export": {"levels": [0, 9]}})[1]["a"]
    assert sample.export_levels == [0]
    assert "export.levels is [0, 9], but its coarsest level is 0; not exported: 9" in caplog.text


@pytest.mark.parametrize(
    ("zarr", "message"),
    [
        ({"order": "C"}, "zarr.order is 'C', but NIfTI-Zarr on Zarr v2 allows only 'F'"),
        ({"compressor": "gzip"}, "zarr.compressor is 'gzip', .* allows only 'blosc' or 'zlib'"),
        ({"compressor": None}, "zarr.compressor is None"),
        ({"dimension_separator": "."}, "zarr.dimension_separator is '.'"),
    ],
)
def test_options_that_nifti_zarr_forbids_are_errors(read, zarr, message):
    config = {"source": "a.nii", "zarr": {"zarr_version": 2} | zarr}
    with pytest.raises(ConfigError, match=message):
        read(config)
    read(config | {"nifti": {"nii": False}})


@pytest.mark.parametrize(("version", "order"), [(2, "F"), (3, "C")])
def test_default_order_depends_on_the_zarr_version(read, version, order):
    assert read({"source": "a.nii", "zarr": {"zarr_version": version}})[1]["a"].zarr.order == order


def test_a_star_makes_a_sample_of_each_image(read_sheet):
    zarr.create_group("c.zarr", attributes={"ome": {"bioformats2raw.layout": 3}})
    for name in ("c.zarr/0", "c.zarr/1", "one.zarr"):
        zarr.create_array(name, data=np.zeros((2, 3, 4), "u1"))
    os.mkdir("c.zarr/OME")
    with open("c.zarr/OME/METADATA.ome.xml", "w") as file:
        file.write('<OME><Image Name="Pos. (1)"/><Image Name="Pos. 2"/></OME>')
    with h5py.File("d.h5", "w") as file:
        for name in ("raw", "labels/ids"):
            file[name] = np.zeros((2, 3, 4), "u1")
    lines = [f"{name[0]}|{name}|*" for name in ("c.zarr", "one.zarr", "d.h5")]
    samples = read_sheet("sample|source|dataset", *lines)
    assert [*samples] == ["c_Pos._1", "c_Pos._2", "o_0", "d_labels_ids", "d_raw"]
    for sample in samples.values():
        sample.check()
    with pytest.raises(ConfigError, match="dataset is '\\*', but there is only one image in files"):
        read_sheet("sample|source|dataset", "a|a.nii|*")

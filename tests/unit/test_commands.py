"""What the command ``neurozarr`` asks of Snakemake, and its messages."""

import os
import tomllib
from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.cli import parse_config
from snakemake.common.configfile import load_configfile

from neurozarr import commands
from neurozarr.samples.config_file import check_config_file
from neurozarr.samples.schema import CONFIG_SCHEMA, Schema
from neurozarr.sources.extras import install_command

#: Names that YAML can hold: no control characters, line separators or halves of characters.
NAMES = st.text(
    st.characters(exclude_categories=["Cc", "Cn", "Cs", "Zl", "Zp"], exclude_characters="/"),
    min_size=1,
)


def asked(*words):
    """Snakemake's arguments for a command line without those that all have, and its options."""
    given = commands.snakemake_arguments(words)
    place = given.index("--snakefile")
    assert given[place + 1] == str(commands.snakefile())
    rest = [*given[:place], *given[place + 2 :]]
    entries = rest[rest.index("--config") + 1 :] if "--config" in rest else []
    others = rest[: rest.index("--config")] if "--config" in rest else rest
    return others, parse_config(entries)


def exits(capsys, *words):
    """The error for a command line."""
    with pytest.raises(SystemExit) as error:
        commands.main(words)
    assert error.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_the_workflow_is_at_the_top_of_a_clone(root):
    assert commands.snakefile() == root / "Snakefile"


@pytest.mark.parametrize(
    ("words", "others", "config"),
    [
        (["run", "a.nii"], ["--cores", "all"], {"source": ["a.nii"]}),
        (["run"], ["--cores", "all"], {}),
        (["verify", "a.nii"], ["verify", "--cores", "all"], {"source": ["a.nii"]}),
        (["export", "a.nii"], ["export", "--cores", "all"], {"source": ["a.nii"]}),
        (["report", "a.nii"], ["report", "--cores", "all"], {"source": ["a.nii"]}),
        (
            ["plan", "a.nii"],
            ["plan", "--nolock", "--cores", "all"],
            {"source": ["a.nii"]},
        ),
        (
            ["run", "a.nii", "--output", "out", "b.nii", "pyramid.mode=median", "c/*.nii"],
            ["--cores", "all"],
            {
                "output": "out",
                "source": ["a.nii", "b.nii", "c/*.nii"],
                "pyramid": {"mode": "median"},
            },
        ),
        (
            ["run", "--output", "2026", "7"],
            ["--cores", "all"],
            {"output": "./2026", "source": ["7"]},
        ),
        (["run", "./a=b.nii"], ["--cores", "all"], {"source": ["./a=b.nii"]}),
        (
            ["run", "zarr.chunk=[1, 2, 3]", "zarr.shard=auto", "ome.name=a=b", "verify=none"],
            ["--cores", "all"],
            {
                "zarr": {"chunk": "[1, 2, 3]", "shard": "auto"},
                "ome": {"name": "a=b"},
                "verify": "none",
            },
        ),
    ],
)
def test_command_line_becomes_options_of_snakemake(words, others, config):
    assert asked(*words) == (others, config)


def test_configuration_files_are_passed_on(tmp_path):
    files = [tmp_path / "a.yaml", tmp_path / "b.json"]
    files[0].write_text("source: a.nii\n")
    files[1].write_text('{"verify":\t"none"}')
    given = [word for file in files for word in ("--configfile", str(file))]
    others, config = asked("run", "--samples", "s.tsv", *given)
    assert others == ["--cores", "all", "--configfile", *map(str, files)]
    assert config == {"samples": "s.tsv"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zarr: {chunk: 64}\noutput: a\nzarr: {shard: auto}", ", line 3: zarr is given twice"),
        ("zarr:\n  chunk: 64\n  chunk: 32", ", line 3: zarr.chunk is given twice"),
        ('{"zarr": {"chunk": 64}, "zarr": {}}', ": zarr is given twice"),
        ("zarr:\n\tchunk: 64", ", line 2: not YAML, which is indented by spaces, not by tabs"),
        ("output: a\nsource: *.nii", ", line 2: not YAML: a value that begins with * or & needs q"),
        ("source: [a.nii\n", ", line 2: not YAML: expected ',' or ']'"),
        ("[" * 10_000, " is not YAML: maximum recursion depth"),
        ("# source: a.nii\n", " has no options: write at least one, such as source: scan.nii.gz"),
        ("- a.nii", " has no options"),
        ("source: grün.nii".encode("latin-1"), " is not UTF-8 text (invalid"),
        ("source: a\0.nii", " is not YAML: unacceptable character #x0000"),
        (None, " cannot be read: No such file or directory"),
    ],
    ids=range(12),
)
def test_a_malformed_configuration_file_is_named(capsys, tmp_path, text, message):
    file = tmp_path / "my.yaml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    line = exits(capsys, "run", "--configfile", str(file))
    assert line.startswith(f"neurozarr run: {file}{message}")


def test_the_configuration_file_of_a_directory_is_checked(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("zarr:\n\tchunk: 64\n")
    line = exits(capsys, "run", "a.nii")
    assert line.startswith("neurozarr run: config/config.yaml, line 2: not YAML, which is indented")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {chunk: 64, shard: auto}\nb: {<<: *a}\nc: *a\n",
        "\ufeffsource: a.nii\r\nzarr:\r\n  chunk: 64\r\npyramid:\r\n  levels: 2\r\n",
        'source: a.nii\n? b\n: 3\n"é": 4\n',
    ],
    ids=range(3),
)
def test_what_snakemake_reads_is_not_refused(tmp_path, text):
    (tmp_path / "my.yaml").write_text(text)
    check_config_file(tmp_path / "my.yaml")
    assert load_configfile(tmp_path / "my.yaml")


def test_a_pipe_is_left_to_snakemake(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    check_config_file(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--cores", "4"],
            "--cores 4; options of Snakemake follow --, as in neurozarr plan ... -- ",
        ),
        (["-n"], "-n; options of Snakemake follow --, as in neurozarr plan ... -- -n"),
        (["--chunk", "64"], "options are written without --: did you mean zarr.chunk=64?"),
        (["--chunk=64"], "options are written without --: did you mean zarr.chunk=64?"),
        (["--ome-version"], "options are written without --: did you mean ome.ome_version=VALUE?"),
        (["--zarr.shard", "a b"], "did you mean 'zarr.shard=a b'?"),
        (["--levels", "2"], "did you mean pyramid.levels=2 or export.levels=2?"),
        (["--voxel-size=2"], "did you mean voxel_size=2?"),
        (["-o", "out"], "-o out; did you mean --output?"),
        (["--outptu", "out"], "--outptu out; did you mean --output?"),
    ],
    ids=str,
)
def test_unknown_arguments_say_how_to_write_them(capsys, words, message):
    line = exits(capsys, "plan", "a.nii", *words)
    assert line.startswith(f"neurozarr plan: unrecognized arguments: {words[0]}")
    assert message in line


@pytest.mark.parametrize(
    ("options", "cores"),
    [
        (["--keep-incomplete", "-n"], True),
        (["--cores", "4"], False),
        (["--cores=4"], False),
        (["-c4"], False),
        (["-j", "4"], False),
        (["--workflow-profile", "slurm"], False),
        (["--profile", "mine"], False),
        (["--executor", "slurm"], False),
    ],
)
def test_all_processors_are_used_unless_snakemake_is_told(options, cores):
    others, config = asked("run", "a.nii", "--", *options)
    assert others == [*options, *(["--cores", "all"] if cores else [])]
    assert config == {"source": ["a.nii"]}


def test_colours_are_left_out_if_nobody_wants_them(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert asked("run", "a.nii")[0] == ["--cores", "all", "--nocolor"]
    monkeypatch.setenv("NO_COLOR", "")
    assert asked("run", "a.nii")[0] == ["--cores", "all"]


@given(st.lists(NAMES, min_size=1), NAMES)
def test_snakemake_reads_any_name_of_a_source(names, value):
    sources = [f"./{name}" for name in names]
    assert asked("run", *sources, f"ome.name={value}")[1] == {
        "source": sources,
        "ome": {"name": value},
    }


def test_options_have_the_values_of_a_configuration_file():
    schema = Schema(CONFIG_SCHEMA)
    words = ["overwrite=true", "verify=none", "zarr.chunk=[8, 16, 16]", "nifti.nii=false"]
    words += ["ome.ome_version=0.5", "pyramid.levels=2", "pyramid.no_pyramid_axis=null"]
    assert schema.with_defaults(asked("run", *words)[1]) == schema.with_defaults(
        {
            "overwrite": True,
            "verify": "none",
            "zarr": {"chunk": [8, 16, 16]},
            "nifti": {"nii": False},
            "ome": {"ome_version": "0.5"},
            "pyramid": {"levels": 2, "no_pyramid_axis": None},
        }
    )


def test_errors_are_one_line_that_names_the_word(capsys):
    for words, message in [
        ([], "neurozarr: the following arguments are required: COMMAND"),
        (["convert"], "neurozarr: argument COMMAND: invalid choice: 'convert'"),
        (["run", "--cores", "2"], "neurozarr run: unrecognized arguments: --cores"),
        (["run", "zarr.chunk=1", "zarr.chunk=2"], "neurozarr run: zarr.chunk is given twice"),
        (["run", "zarr={}", "zarr.chunk=2"], "neurozarr run: zarr.chunk is given twice"),
        (["run", "a", "source=b"], "neurozarr run: source is given twice"),
        (["run", "--output", "a", "output=b"], "neurozarr run: output is given twice"),
        (["run", "a", "--", "--config", "a=b"], "neurozarr run: --config and --configfile of"),
        (["run", "a", "--", "-C", "a=b"], "neurozarr run: --config and --configfile of"),
        (["info"], "neurozarr info: the following arguments are required: STORE"),
    ]:
        assert exits(capsys, *words).startswith(message)


@pytest.mark.parametrize("command", ["run", "plan", "verify", "export", "report", "info", "status"])
def test_help_describes_each_command(capsys, command):
    for words, said in (["--help"], command), ([command, "--help"], f"usage: neurozarr {command}"):
        with pytest.raises(SystemExit) as error:
            commands.main(words)
        assert not error.value.code
        assert said in capsys.readouterr().out


def test_missing_libraries_are_installed_by_the_names_of_their_packages(monkeypatch, root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    required = [
        f'{package}{" and" if ";" in package else ";"} extra == "{extra}"'
        for extra, packages in extras.items()
        for package in packages
    ]
    monkeypatch.setattr(metadata, "requires", {"neurozarr": required}.get)
    assert install_command("tiff") == "pip install 'imagecodecs>=2024.1' 'tifffile>=2024.1'"
    assert install_command("zstd") == "pip install 'backports.zstd>=1.0'"
    monkeypatch.setattr(metadata, "requires", {}.get)
    assert install_command("tiff") == "in the clone of neurozarr, pip install '.[tiff]'"

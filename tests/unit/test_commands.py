"""What the command ``neurozarr`` asks of Snakemake, and its messages."""

import tomllib
from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.cli import parse_config

from neurozarr import commands
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
            ["run", "--samples", "s.tsv", "--configfile", "a.yaml", "--configfile", "b.yaml"],
            ["--cores", "all", "--configfile", "a.yaml", "b.yaml"],
            {"samples": "s.tsv"},
        ),
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

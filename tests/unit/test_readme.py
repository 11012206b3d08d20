"""The table of README.md: each row says the same in a shell, in a file, to Snakemake, in Python."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser, parse_config

from neurozarr import commands
from neurozarr.samples.reading import read_run

HEADER = "what | neurozarr | my.yaml | snakemake -s PATH/TO/neurozarr/Snakefile | neurozarr.convert"
#: What "…" stands for in each column, and is added to a file without sources.
OTHERS = ("scan.nii.gz", "source: scan.nii.gz", "source=scan.nii.gz", '"scan.nii.gz"')


def table():
    """Map what a row is about to its other cells, "" for those that are not code."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    lines = text[text.index("| what | `neurozarr` |") :].split("\n\n")[0].splitlines()
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert " | ".join(cell.strip("`") for cell in header) == HEADER
    return {
        what: ["\n".join(re.findall("`(.*?)`", cell)) for cell in cells] for what, *cells in rows
    }


ROWS = table()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, mri):
    """The working directory, with all files that the table names."""
    for folder in ("scans", "bids/sub-01/anat"):
        (tmp_path / folder).mkdir(parents=True)
    description = {"Name": "a", "BIDSVersion": "1.10.0"}
    (tmp_path / "bids/dataset_description.json").write_text(json.dumps(description))
    bids = [f"bids/sub-01/anat/sub-01_{suffix}.nii.gz" for suffix in ("T1w", "T2w")]
    for name in ("scan.nii.gz", "scans/a.nii.gz", "scans/b.nii.gz", *bids):
        shutil.copy(mri / "example4d.nii.gz", tmp_path / name)
    (tmp_path / "sheet.tsv").write_text("sample\tsource\tzarr.chunk\none\tscan.nii.gz\t32\n")
    (tmp_path / "my.yaml").write_text("source: scan.nii.gz\nzarr: {chunk: 64}\n")
    monkeypatch.chdir(tmp_path)


def words(text):
    """The words that a shell makes of a part of a command line."""
    command = ["bash", "-c", rf"printf '%s\0' {text}"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return done.stdout.split("\0")[:-1]


def of_snakemake(arguments):
    """The options of a run, and its targets, number of processors and profile."""
    asked = get_argument_parser().parse_args(arguments)
    config = {}
    for file in asked.configfile or []:
        config |= yaml.safe_load(Path(file).read_text())
    config |= parse_config(asked.config or [])
    return config, (asked.targets, asked.cores, asked.workflow_profile)


def in_shell(cell):
    return of_snakemake(commands.snakemake_arguments(words(cell.replace("…", OTHERS[0]))))


def in_file(cell):
    config = yaml.safe_load(cell)
    return config if config.keys() & {"source", "samples"} else config | yaml.safe_load(OTHERS[1])


def to_snakemake(cell):
    given = words(cell.replace("…", OTHERS[2]))
    return of_snakemake(["-s", str(commands.snakefile()), *given])


def in_python(cell):
    def convert(source, output="results", *, threads=None, **options):
        return options | {"source": source, "output": output}, threads

    return eval(f"convert{cell.replace('…', OTHERS[3])}")


@pytest.mark.parametrize("what", ROWS)
def test_every_way_to_say_it_means_the_same(what):
    shell, file, snakemake, python = ROWS[what]
    config, run = in_shell(shell)
    # The settings, and all that is known of samples before they are opened.
    meant = read_run(config)
    assert meant[1]
    config, run_of_snakemake = to_snakemake(snakemake)
    assert read_run(config) == meant
    assert run_of_snakemake == run
    if file:
        assert read_run(in_file(file)) == meant
    if python:
        config, threads = in_python(python)
        assert read_run(config) == meant
        assert threads is None or threads == run[1]


def test_rows_mean_different_things():
    meant = [in_shell(shell) for shell, *_ in ROWS.values()]
    assert all(meant.count(one) == 1 for one in meant)
    assert len(ROWS) >= 12

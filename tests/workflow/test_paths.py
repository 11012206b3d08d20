"""Unusual paths and names."""

import os
import shutil
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("output", "place"),
    [
        ("../{}/with space's", "with space's"),
        ("/{}//a\\b", "a\\b"),
        ("link/../x[1]*", "elsewhere/x[1]*"),
        ("~/$NAME/ü&#", "name/ü&#"),
    ],
)
def test_output_path_is_interpreted_as_in_a_shell(workflow, fresh, output, place):
    here = workflow.directory
    reference = fresh(workflow)
    (here / "config.yaml").touch()
    (here / "elsewhere/deep").mkdir(parents=True)
    (here / "link").symlink_to("elsewhere/deep")
    (here / "a/b").mkdir(parents=True)  # Must not be confused with the one with a backslash.
    workflow.environment |= {
        "XDG_CACHE_HOME": str(here / ".snakemake"),
        "HOME": str(here),
        "NAME": "name",
    }
    output = output.format(here.name if output.startswith("..") else here)
    workflow.config = workflow.config | {"output": output}
    before = set(os.listdir(here))
    workflow()
    assert workflow("--dry-run").jobs == set()
    workflow.config["output"] = place
    assert workflow.tree() == reference
    assert set(os.listdir(here)) - before <= {
        place.split("/")[0],
        ".snakemake",
        "logs",
        "benchmarks",
    }
    assert not any((here / "a/b").iterdir())


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_directory_that_cannot_be_written_is_named(tmp_path, mri, root, command, kept):
    here = tmp_path / "data"
    (here / ".snakemake" if kept else here).mkdir(parents=True)
    (here / ".snakemake" if kept else here).chmod(0o555)
    # Root can write everywhere, unless it gives up that right.
    right = "--bounding-set=-dac_override", "--inh-caps=-dac_override"
    as_others = ["setpriv", *right] if os.geteuid() == 0 else []
    words = [sys.executable, "-m", "neurozarr", command, str(mri / "anatomical.nii")]
    words += ["--output", str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(root / "scripts")}
    run = subprocess.run(
        [*as_others, *words], cwd=here, capture_output=True, text=True, env=environment, check=False
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith(f"neurozarr: {here} cannot be written, where")
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out").exists()


def test_sample_name_may_have_200_letters(workflow):
    name = "s0" + "st" * 9 + "x" * 18 + "sub-01_" * 23 + "a"
    assert len(name) == 200
    (workflow.directory / "sheet.tsv").write_text(f"sample\tsource\n{name}\tanatomical.nii\n")
    workflow.config = {"samples": "sheet.tsv", "zarr": {"chunk": 16}, "verify": "full"}
    workflow("all", "export")
    assert (workflow.store(name) / "zarr.json").exists()
    assert (workflow.directory / f"results/nifti/{name}_level-0.nii.gz").exists()


def test_source_may_have_any_name(workflow, fresh):
    here = workflow.directory
    reference = fresh(workflow)
    names = {"Größe (1)": "Grosse_1", 'it\'s a "{y}" [1] {sample}&;#%s': "it_s_a_y_1_sample_s"}
    for file in names:
        shutil.copy(here / "anatomical.nii", here / f"{file}.nii")
    (here / "anatomical.nii").unlink()
    workflow.config["source"] = "*.nii"
    run = workflow()
    assert "source 'Größe (1).nii': its sample is named Grosse_1, because" in run.output
    for name in names.values():
        converted = workflow.tree(name)
        assert {key for key in reference if converted[key] != reference[key]} == {"zarr.json"}

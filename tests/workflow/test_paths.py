"""Unusual paths and names."""

import os
import shutil

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

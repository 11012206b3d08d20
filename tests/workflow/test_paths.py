"""Unusual paths and names."""

import os

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

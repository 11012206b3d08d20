"""Whatever earlier runs left of a sample, a bundle makes the bytes of a fresh conversion."""

import shutil
from contextlib import suppress
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurozarr.errors import BundleError
from neurozarr.samples import rerun
from neurozarr.samples.reading import read_run
from neurozarr.steps.convert_bundle import convert_bundle

from .power import PowerOffError, power_off_at

NAMES = "abc"
OPTIONS = [
    {"zarr": {"chunk": 8}},
    {"zarr": {"chunk": 8}, "pyramid": {"mode": "median"}},
    {"zarr": {"chunk": 16, "compressor": "gzip"}},
]


def write_source(folder, name, seed):
    voxels = np.random.default_rng(seed).integers(0, 99 + 99 * seed, (10, 9, 8)).astype("i2")
    nibabel.Nifti1Image(voxels, np.diag([1, 2, 3, 1])).to_filename(folder / f"{name}.nii")


def convert(folder, names, options, stop=None):
    """Convert what is not done of some samples in one bundle, at most until a given system call."""
    config = {"source": [str(folder / f"{name}.nii") for name in names], "output": str(folder)}
    run, samples = read_run(config | options)
    todo = [
        sample
        for sample in samples.values()
        if not rerun.Todo(sample, run.paths(sample.name), verify=run.verify).is_done()
    ]
    names = ("fsync", "replace", "unlink", "rename")
    with suppress(PowerOffError), power_off_at(stop, names):
        convert_bundle(
            todo,
            run,
            log=lambda name: folder / f"logs/{name}",
            redo="nothing",
            threads=1,
            partial=folder / "partial.json",
        )
    return {sample.name for sample in todo}


def tree(folder, name):
    store = folder / f"{name}.nii.zarr"
    return {
        path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Returns the files of a sample that nothing disturbed, converted alone."""
    made = {}

    def reference(name, seed, option):
        key = (name, seed, option)
        if key not in made:
            folder = tmp_path_factory.mktemp("alone")
            write_source(folder, name, seed)
            convert(folder, [name], OPTIONS[option])
            made[key] = tree(folder, name)
        return made[key]

    return reference


def spoil(folder, name, number, how):
    """Delete or damage a receipt of a sample."""
    state = folder / f".state/{name}.nii.zarr"
    found = sorted(path for path in state.rglob("*.json") if path.name != "owned.json")
    if found:
        file = found[number % len(found)]
        if how == "deleted":
            file.unlink()
        else:
            file.write_text("{}" if how == "empty" else file.read_text()[:-9])


pasts = st.tuples(
    st.sets(st.sampled_from(NAMES), min_size=1),
    st.integers(0, 1),
    st.integers(0, len(OPTIONS) - 1),
    st.none() | st.integers(1, 300),
)
damages = st.tuples(
    st.sampled_from(NAMES), st.integers(0, 9), st.sampled_from(["deleted", "empty", "half"])
)


@settings(max_examples=6)
@given(st.lists(pasts, max_size=2), st.lists(damages, max_size=2), st.integers(1, 3), st.data())
def test_a_bundle_makes_the_bytes_of_single_conversions(
    tmp_path_factory, reference, runs, damaged, size, data
):
    folder = tmp_path_factory.mktemp("bundle")
    seed, option = data.draw(st.integers(0, 1)), data.draw(st.integers(0, len(OPTIONS) - 1))
    for names, then, before, stop in runs:
        for name in names:
            write_source(folder, name, then)
        convert(folder, sorted(names), OPTIONS[before], stop)
    for name, number, how in damaged:
        spoil(folder, name, number, how)
    for name in NAMES:
        write_source(folder, name, seed)
    for start in range(0, len(NAMES), size):
        convert(folder, NAMES[start : start + size], OPTIONS[option])
    for name in NAMES:
        assert tree(folder, name) == reference(name, seed, option)
    assert convert(folder, NAMES, OPTIONS[option]) == set()
    shutil.rmtree(folder)


@pytest.mark.parametrize("change", ["source", "mode", "chunk"])
def test_a_redone_sample_that_was_stopped_has_nothing_old(tmp_path, reference, change):
    seed, option = {"source": (1, 0), "mode": (0, 1), "chunk": (0, 2)}[change]
    write_source(tmp_path, "a", 0)
    convert(tmp_path, "a", OPTIONS[0])
    for stop in range(20, 150, 20):
        folder = shutil.copytree(tmp_path, tmp_path.with_name(f"{change}-{stop}"))
        write_source(folder, "a", seed)
        convert(folder, "a", OPTIONS[option], stop)
        if stop % 40 and change != "source":  # The option is changed back.
            convert(folder, "a", OPTIONS[0])
            assert tree(folder, "a") == reference("a", 0, 0)
        else:
            convert(folder, "a", OPTIONS[option])
            assert tree(folder, "a") == reference("a", seed, option)


def test_missing_chunk_of_an_unfinished_image_is_written_again(tmp_path, reference):
    write_source(tmp_path, "a", 0)
    convert(tmp_path, "a", OPTIONS[0])
    store = tmp_path / "a.nii.zarr"
    (store / "zarr.json").unlink()
    (store / "0/c/0/0/0").unlink()
    convert(tmp_path, "a", OPTIONS[0])
    assert tree(tmp_path, "a") == reference("a", 0, 0)


def test_failures_of_some_members_stop_no_other(tmp_path, reference):
    for name in NAMES:
        write_source(tmp_path, name, 0)
    config = {"source": str(tmp_path / "*.nii"), "output": str(tmp_path)} | OPTIONS[0]
    run, samples = read_run(config)
    (tmp_path / "a.nii").unlink()  # It vanishes after the run was planned.
    stranger = run.paths("b").state
    stranger.mkdir(parents=True)
    (stranger / "0").write_text("not a directory")  # Receipts of b cannot be written.
    with pytest.raises(BundleError) as caught:
        convert_bundle(
            list(samples.values()),
            run,
            log=lambda name: Path(tmp_path, "logs", name),
            redo="nothing",
            threads=1,
            partial=tmp_path / "partial.json",
        )
    first, *lines = str(caught.value).splitlines()
    assert first == "2 of 3 samples failed"
    assert [line.split(":")[0] for line in lines] == ["sample a", "sample b"]
    assert tree(tmp_path, "c") == reference("c", 0, 0)
    (stranger / "0").unlink()
    write_source(tmp_path, "a", 0)
    assert convert(tmp_path, NAMES, OPTIONS[0]) == {"a", "b"}
    assert tree(tmp_path, "b") == reference("b", 0, 0)

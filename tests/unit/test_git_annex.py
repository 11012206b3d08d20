"""Files of git-annex (DataLad) and Git LFS: those without content are named, others are read."""

import os
import re
import shutil
import subprocess

import h5py
import nibabel
import numpy as np
import pytest
import tensorstore
import tifffile
import zarr

from neurozarr import convert
from neurozarr.errors import ConfigError, OwnershipError, SourceError
from neurozarr.files import check_file
from neurozarr.samples.reading import read_run
from neurozarr.sources import open_source

from . import dicoms
from .bids_sets import data_set, image, text
from .test_tiff_sets import ome_set

VOXELS = np.random.default_rng(0).integers(1, 99, (6, 7, 8), dtype="i2")
KEY = "MD5E-s4--d41d8cd98f00b204e9800998ecf8427e.nii.gz"


def key_of(path):
    return f"MD5E-s{path.stat().st_size}--{abs(hash(str(path))):032x}{path.suffix}"


def lock(path, *, content=True):
    """Make a file what git-annex makes of a locked one, with its content or without."""
    top = path.parent / ".git/annex/objects"
    there = top / "aB/cD" / key_of(path) / key_of(path)
    there.parent.mkdir(parents=True)
    path.rename(there)
    if not content:
        there.unlink()
    path.symlink_to(os.path.relpath(there, path.parent))


def point(path):
    """Make a file what git-annex makes of an unlocked one without its content."""
    path.write_text(f"/annex/objects/{key_of(path)}\n")


def drop(path):
    lock(path, content=False)


@pytest.mark.parametrize(
    ("make", "what", "does"),
    [
        (
            drop,
            "only a link of git-annex: run datalad get '{0}/a b.nii', or ",
            "annex get 'a b.nii'",
        ),
        (point, "only a pointer of git-annex: run datalad get", "git -C {0} annex get 'a b.nii'"),
        (
            lambda path: path.write_text(
                "version https://git-lfs.github.com/spec/v1\noid sha256:0"
            ),
            "only a pointer of Git LFS",
            "run git -C {0} lfs pull",
        ),
    ],
    ids=["locked", "unlocked", "lfs"],
)
def test_file_without_content_tells_how_to_get_it(tmp_path, make, what, does):
    make(text(tmp_path / "a b.nii", "voxels"))
    with pytest.raises(SourceError) as error:
        check_file(tmp_path / "a b.nii")
    assert str(error.value).startswith(f"{tmp_path}/a b.nii: its content is not here, {what[:10]}")
    assert what.format(tmp_path) in str(error.value)
    assert does.format(tmp_path) in str(error.value)


def test_link_to_nothing_tells_where_it_leads(tmp_path):
    (tmp_path / "a.nii").symlink_to("b.nii")
    with pytest.raises(
        SourceError, match=f"a.nii: there is no such file, only a link to {tmp_path}/b.nii"
    ):
        open_source(tmp_path / "a.nii")


def test_link_to_a_link_of_git_annex_is_one(tmp_path):
    drop(text(tmp_path / "a.nii"))
    (tmp_path / "b.nii").symlink_to("a.nii")
    with pytest.raises(SourceError, match=r"b.nii: its content is not here, only a link"):
        open_source(tmp_path / "b.nii")


# Each writes a source into a directory, and returns what is to be opened.


def nifti(folder):
    return image(folder / "a.nii.gz")


def pair(folder):
    nibabel.Nifti1Pair(VOXELS, np.eye(4)).to_filename(folder / "a.img")
    return folder / "a.hdr"


def afni(folder):
    source = os.path.join(os.path.dirname(nibabel.__file__), "tests/data/example4d+orig")
    for ending in (".HEAD", ".BRIK.gz"):
        shutil.copy(source + ending, folder / f"a+orig{ending}")
    return folder / "a+orig.HEAD"


def par(folder):
    source = os.path.join(os.path.dirname(nibabel.__file__), "tests/data/phantom_EPI_asc_CLEAR_2_1")
    for ending in (".PAR", ".REC"):
        shutil.copy(source + ending, folder / f"a{ending}")
    return folder / "a.PAR"


def metaimage(folder):
    VOXELS.tofile(folder / "a.raw")
    return text(
        folder / "a.mhd",
        "ObjectType = Image\nNDims = 3\nDimSize = 8 7 6\nElementType = MET_SHORT\n"
        "ElementDataFile = a.raw\n",
    )


def nrrd(folder):
    VOXELS.tofile(folder / "a.raw")
    return text(
        folder / "a.nhdr",
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 8 7 6\nencoding: raw\nendian: little\n"
        "data file: a.raw\n",
    )


def slices(folder):
    for number, plane in enumerate(VOXELS):
        tifffile.imwrite(folder / f"s_{number}.tif", plane)
    return folder


def pattern(folder):
    return slices(folder) / "s_{z}.tif"


def series(folder):
    for number in range(3):
        image(folder / f"t{number}.nii")
    return folder / "t{t}.nii"


def ome_tiff(folder):
    with tifffile.TiffWriter(folder / "a.ome.tif", ome=True) as writer:
        writer.write(VOXELS, metadata={"axes": "ZYX"})
    return (folder / "a.ome.tif").rename(folder / "sub-01_SEM.ome.tif")


def virtual(folder):
    with h5py.File(folder / "b.h5", "w") as file:
        file["v"] = VOXELS
    with h5py.File(folder / "a.h5", "w") as file:
        space = h5py.VirtualLayout(VOXELS.shape, VOXELS.dtype)
        space[...] = h5py.VirtualSource("b.h5", "v", VOXELS.shape)
        file.create_virtual_dataset("v", space)
    return folder / "a.h5"


def zarr_store(folder, version):
    store = folder / "a.zarr"
    zarr.create_array(store, data=VOXELS, chunks=(3, 7, 8), zarr_format=version)
    return store


def zarr_2(folder):
    return zarr_store(folder, 2)


def zarr_3(folder):
    return zarr_store(folder, 3)


def n5(folder):
    made = {"dimensions": [8, 7, 6], "blockSize": [8, 7, 3], "dataType": "int16"}
    made["compression"] = {"type": "raw"}
    kvstore = {"driver": "file", "path": f"{folder}/a.n5/"}
    spec = {"driver": "n5", "kvstore": kvstore, "metadata": made, "create": True}
    tensorstore.open(spec).result()[...] = VOXELS.T
    return folder / "a.n5"


def precomputed(folder):
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/a/"},
        "multiscale_metadata": {"type": "image", "data_type": "int16", "num_channels": 1},
        "scale_metadata": {"size": [8, 7, 6], "chunk_size": [8, 7, 3], "encoding": "raw",
                           "resolution": [1, 1, 1], "key": "1"},
        "create": True,
    }  # fmt: skip
    tensorstore.open(spec).result()[..., 0] = VOXELS.T
    return folder / "a"


def dicom(folder):
    dicoms.slices(folder / "a")
    return folder / "a"


SOURCES = [nifti, pair, afni, par, metaimage, nrrd, slices, pattern, series, ome_tiff]
SOURCES += [virtual, zarr_2, zarr_3, n5, precomputed, dicom]


def read(path):
    source = open_source(path)
    source.check()
    return source.read(tuple(slice(0, length) for length in source.shape))


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("write", SOURCES)
def test_locked_files_with_content_are_read(tmp_path, write):
    path = write(tmp_path)
    expected = read(path)
    for file in files_of(tmp_path):
        lock(file)
    np.testing.assert_array_equal(read(path), expected)


@pytest.mark.parametrize("companion", [True, False])
def test_sets_of_tiff_files_must_be_unlocked(tmp_path, companion):
    path = ome_set(tmp_path, ("left",), companion=companion)
    lock(path)
    with pytest.raises(SourceError, match=f"in several files, .* annex unlock {path.name}, and"):
        open_source(path)


@pytest.mark.parametrize("lose", [drop, point])
@pytest.mark.parametrize("write", SOURCES)
def test_no_file_without_content_is_taken_for_an_empty_one(tmp_path, write, lose):
    (tmp_path / "first").mkdir()
    write(tmp_path / "first")
    for number, file in enumerate(files_of(tmp_path / "first")):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = write(folder)
        lost = folder / file.relative_to(tmp_path / "first")
        lose(lost)
        with pytest.raises(SourceError) as error:
            read(path)
        assert f"{lost}: its content is not here" in str(error.value)


def test_directory_whose_files_have_no_content_says_so(tmp_path):
    (tmp_path / "a").mkdir()
    for file in files_of(dicom(tmp_path)):
        drop(file)
    with pytest.raises(SourceError, match=r"a/IM0001.dcm: its content is not here, only a link"):
        open_source(tmp_path / "a")


@pytest.fixture
def bids(tmp_path, monkeypatch):
    """A data set with metadata for its image, in the working directory."""
    monkeypatch.chdir(tmp_path)
    root = data_set(
        tmp_path / "bids", "sub-01/dwi/sub-01_dwi.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"
    )
    text(root / "dwi.json", {"EchoTime": 1})
    for ending in (".bval", ".bvec"):
        text(root / f"sub-01/dwi/sub-01_dwi{ending}", "0 1")
    return root


@pytest.mark.parametrize("lose", [drop, point])
@pytest.mark.parametrize(
    "name",
    [
        "sub-01/dwi/sub-01_dwi.nii.gz",
        "dwi.json",
        *(f"sub-01/dwi/sub-01_dwi.bv{e}" for e in ("al", "ec")),
    ],
)
def test_image_whose_metadata_have_no_content_is_refused(bids, name, lose):
    lose(bids / name)
    samples = read_run({"source": "bids"}, absent=[])[1]
    samples["sub-02/anat/sub-02_T1w"].check()
    with pytest.raises(
        SourceError, match=f"bids/{name}: its content is not here.* get bids/{name},"
    ):
        samples["sub-01/dwi/sub-01_dwi"].check()


@pytest.mark.parametrize("lose", [drop, point])
def test_description_without_content_is_refused(bids, lose):
    lose(bids / "dataset_description.json")
    with pytest.raises(
        ConfigError, match=r"config: source bids/dataset_description.json: its content"
    ):
        read_run({"source": "bids"}, absent=[])


@pytest.mark.parametrize("lose", [drop, point])
def test_sheet_and_template_without_content_are_refused(bids, lose):
    text(bids / "s.tsv", "sample\tsource\na\tbids/sub-02/anat/sub-02_T1w.nii.gz\n")
    image(bids / "header.nii")
    samples = read_run({"samples": "bids/s.tsv", "nifti": {"header": "bids/header.nii"}})[1]
    for name in ("s.tsv", "header.nii"):
        lose(bids / name)
    with pytest.raises(ConfigError, match=r"samples bids/s.tsv: its content is not here"):
        read_run({"samples": "bids/s.tsv"})
    with pytest.raises(
        ConfigError, match=r"nifti.header bids/header.nii: .*its content is not here"
    ):
        samples["a"].check()


@pytest.mark.parametrize("lose", [drop, point])
@pytest.mark.parametrize("absent", [None, []])
def test_images_of_a_file_without_content_are_not_known(tmp_path, lose, absent):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v"] = VOXELS
    lose(tmp_path / "a.h5")
    with pytest.raises(ConfigError, match=r"a.h5: its content is not here"):
        read_run({"source": str(tmp_path / "a.h5"), "dataset": "*"}, absent=absent)


@pytest.mark.skipif(shutil.which("git-annex") is None, reason="git-annex is not installed")
@pytest.mark.parametrize("adjusted", [False, True])
def test_data_set_in_a_repository_of_git_annex(bids, monkeypatch, adjusted):
    def git(*words, folder=bids):
        subprocess.run(("git", "-C", str(folder), *words), check=True, capture_output=True)

    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "A")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "a@example.org")
    expected = {name: read(bids / name) for name in ("sub-01/dwi/sub-01_dwi.nii.gz",)}
    git("init", "--quiet")
    git("annex", "init")
    git("annex", "add", "--force-large", ".")
    git("commit", "--quiet", "-m", "all")
    clone = bids.with_name("clone")
    git("clone", "--quiet", ".", str(clone))
    git("annex", "init", folder=clone)
    if adjusted:
        git("annex", "adjust", "--unlock", folder=clone)
    git("annex", "get", "dataset_description.json", folder=clone)
    (sample, *_) = read_run({"source": "clone"}, absent=[])[1].values()
    # The command in each error gets the file, until there is none.
    for _ in range(4):
        with pytest.raises(SourceError, match="its content is not here") as error:
            sample.check()
        command = re.search(r"or (git -C .* annex get .*)$", str(error.value))[1]
        subprocess.run(command, shell=True, check=True, capture_output=True)
        sample = read_run({"source": "clone"}, absent=[])[1][sample.name]
    sample.check()
    assert sorted(sample.sidecars) == [".bval", ".bvec", ".json"]
    for name, voxels in expected.items():
        assert (clone / name).is_symlink() != adjusted
        np.testing.assert_array_equal(read(clone / name), voxels)


@pytest.mark.parametrize("lose", [drop, point])
def test_metadata_of_others_without_content_are_not_overwritten(bids, lose):
    mine = text(bids.parent / "out/sub-01/dwi/sub-01_dwi.bval", "mine")
    lose(mine)
    before = os.lstat(mine)
    with pytest.raises(OwnershipError, match=r"sub-01_dwi.bval was not written by this workflow"):
        convert("bids", "out", bids={"subject": "01"})
    assert os.lstat(mine).st_ino == before.st_ino


@pytest.mark.parametrize("lose", [drop, point])
def test_lookup_table_without_content_is_refused(bids, lose):
    path = image(bids / "sub-02/anat/sub-02_dseg.nii.gz")
    lose(text(bids / "dseg.tsv", "index\tname\n1\tone\n"))
    lose(bids / "dataset_description.json")
    (sample,) = read_run({"source": str(path)})[1].values()
    with pytest.raises(SourceError, match=r"bids/dseg.tsv: its content is not here"):
        sample.check()

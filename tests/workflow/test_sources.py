"""Sources of all families, converted by whole runs."""

import itertools

import h5py
import imagecodecs
import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest
import scipy.io
import tensorstore
import tifffile
import zarr
from pylibCZIrw import czi

from ..unit import dicoms
from ..unit.test_source_deltavision import write_dv as save_dv

SHAPE = (20, 24, 28)
VOXELS = np.random.default_rng(0).integers(0, 60_000, SHAPE).astype("u2")


def write_tiff(folder):
    tifffile.imwrite(folder / "a.tif", VOXELS, imagej=True, metadata={"axes": "ZYX"})
    return "a.tif", {}


def write_stack(folder):
    (folder / "slices").mkdir()
    for z, image in enumerate(VOXELS):
        tifffile.imwrite(folder / f"slices/s{z}.tif", image, compression="zlib")
    return "slices", {}


def write_pattern(folder):
    (folder / "pngs").mkdir()
    for z, image in enumerate(VOXELS):
        (folder / f"pngs/b_z{z + 7:03}.png").write_bytes(imagecodecs.png_encode(image))
    return "pngs/b_z{z}.png", {}


def write_mosaic(folder):
    (folder / "tiles").mkdir()
    for y in range(2):
        for x in range(2):
            tile = VOXELS[:, 11 * y : 11 * y + 13, 13 * x : 13 * x + 15]
            tifffile.imwrite(folder / f"tiles/y{y}_x{x}.tif", tile, photometric="minisblack")
    return "tiles/y{y}_x{x}.tif", {"overlap": "0,2,2"}


def write_hdf5(folder):
    with h5py.File(folder / "c.h5", "w") as file:
        file.create_dataset("raw", data=VOXELS, chunks=(20, 5, 5), compression="lzf")
        file.create_dataset("other", data=VOXELS[:3])
    return "c.h5", {"dataset": "/raw"}


def write_czi(folder):
    with czi.create_czi(str(folder / "k.czi")) as file:
        for z, plane in enumerate(VOXELS):
            file.write(plane[..., None].copy(), plane={"Z": z})
    return "k.czi", {}


def write_deltavision(folder):
    save_dv(folder / "l.dv", VOXELS[None, None])
    return "l.dv", {}


def write_matlab(folder):
    scipy.io.savemat(folder / "d.mat", {"volume": VOXELS.transpose(2, 1, 0)})
    return "d.mat", {"axes": "zyx"}


def write_zarr(folder):
    group = zarr.open_group(folder / "e.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=VOXELS, chunks=(7, 8, 9))
    return "e.zarr", {"dataset": "0"}


def write_n5(folder):
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": str(folder / "f.n5/s0")}}
    metadata = {"dimensions": SHAPE[::-1], "blockSize": [9, 8, 7], "dataType": "uint16"}
    metadata["compression"] = {"type": "gzip"}
    array = tensorstore.open(spec | {"metadata": metadata}, create=True).result()
    array.write(VOXELS.T).result()
    return "f.n5/s0", {}


def write_npy(folder):
    np.save(folder / "g.npy", VOXELS.astype(">u2"))
    return "g.npy", {}


def write_raw(folder):
    (folder / "h.raw").write_bytes(b"head" + VOXELS.tobytes())
    return "h.raw", {"shape": "20,24,28", "dtype": "uint16", "offset": "4"}


def write_nifti(folder):
    nibabel.Nifti1Image(VOXELS.T, np.eye(4)).to_filename(folder / "i.nii.bz2")
    return "i.nii.bz2", {}


def write_mrtrix(folder):
    (folder / "j.dat").write_bytes(VOXELS.astype(">u2").transpose(1, 0, 2).tobytes())
    lines = ["dim: 28,24,20", "vox: 1,1,1", "layout: +0,+2,+1", "datatype: UInt16BE"]
    (folder / "j.mih").write_text("\n".join(["mrtrix image", *lines, "file: j.dat", ""]))
    return "j.mih", {}


def write_nrrd(folder):
    (folder / "parts").mkdir()
    nrrd.write(str(folder / "parts/m.nhdr"), VOXELS, index_order="C", detached_header=True)
    return "parts/m.nhdr", {"axes": "zyx"}


def write_metaimage(folder):
    (folder / "n.raw").write_bytes(VOXELS.astype(">u2").tobytes())
    lines = ["NDims = 3", "DimSize = 28 24 20", "ElementType = MET_USHORT"]
    lines += ["BinaryDataByteOrderMSB = True", "ElementDataFile = n.raw", ""]
    (folder / "n.mhd").write_text("\n".join(lines))
    return "n.mhd", {}


def write_mrc(folder):
    with mrcfile.new(folder / "o.mrc", VOXELS):
        return "o.mrc", {}


def write_precomputed(folder):
    spec = {"driver": "neuroglancer_precomputed", "scale_metadata": {"resolution": [1, 1, 1]}}
    spec["kvstore"] = {"driver": "file", "path": f"{folder}/p/"}
    array = tensorstore.open(
        spec, create=True, dtype=VOXELS.dtype, shape=[*SHAPE[::-1], 1]
    ).result()
    array[..., 0] = VOXELS.T
    return "p", {}


def write_bdv(folder):
    (folder / "bdv").mkdir()
    with h5py.File(folder / "bdv/q.h5", "w") as file:
        file["t00000/s00/0/cells"] = VOXELS.view("i2")
        file["s00/resolutions"] = [[1.0, 1, 1]]
    loader = '<ImageLoader format="bdv.hdf5"><hdf5 type="relative">q.h5</hdf5></ImageLoader>'
    setup = "<ViewSetup><id>0</id><size>28 24 20</size></ViewSetup>"
    times = '<Timepoints type="range"><first>0</first><last>0</last></Timepoints>'
    sequence = f"{loader}<ViewSetups>{setup}</ViewSetups>{times}"
    (folder / "bdv/q.xml").write_text(
        f"<SpimData><SequenceDescription>{sequence}</SequenceDescription></SpimData>"
    )
    return "bdv/q.xml", {}


FAMILIES = {
    name.removeprefix("write_"): write
    for name, write in list(globals().items())
    if name.startswith("write_")
}


#: Functions that write a source and return its path.
SPELLINGS = ("./{}", "other/../{}", "../{here}/{}", "other/inner//..///../{}", "$HERE/{}", "{}")


@pytest.fixture(scope="module")
def many(make_workflow):
    """A run on a sheet with one source of each family that can store these voxels."""
    workflow = make_workflow({"samples": "sheet.tsv", "zarr": {"chunk": 8}})
    workflow.config |= {"nifti": {"nii": False}, "pyramid": {"levels": 0}, "verify": "none"}
    columns = ["axes", "dataset", "shape", "dtype", "offset", "overlap"]
    lines = ["\t".join(["sample", "source", "voxel_size", *columns])]
    (workflow.directory / "other/inner").mkdir(parents=True)
    workflow.environment["HERE"] = str(workflow.directory)
    for (name, write), spelling in zip(FAMILIES.items(), itertools.cycle(SPELLINGS)):
        path, said = write(workflow.directory)
        path = spelling.format(path, here=workflow.directory.name)
        lines.append("\t".join([name, path, "3,2,1", *(said.get(c, "") for c in columns)]))
    (workflow.directory / "sheet.tsv").write_text("\n".join(lines))
    workflow()
    return workflow


@pytest.mark.parametrize("name", FAMILIES)
def test_store_has_the_voxels_of_the_source(many, name):
    store = many.directory / f"results/{name}.ome.zarr"
    found = zarr.open_array(store / "0", mode="r")[...]
    np.testing.assert_array_equal(found, VOXELS)
    assert found.dtype == np.dtype("u2")
    (image,) = zarr.open_group(store, mode="r").attrs["ome"]["multiscales"]
    (scale, *_) = image["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [3, 2, 1]


def test_new_slice_redoes_only_its_stack(many):
    assert many("--dry-run").jobs == set()
    tifffile.imwrite(many.directory / "slices/s3.tif", VOXELS[4], compression="zlib")
    run = many()
    assert "write_base" in run.jobs
    assert "sample=tiff" not in run.output
    found = zarr.open_array(many.directory / "results/stack.ome.zarr/0", mode="r")[...]
    np.testing.assert_array_equal(found[3], VOXELS[4])
    np.testing.assert_array_equal(np.delete(found, 3, 0), np.delete(VOXELS, 3, 0))


def test_missing_slice_is_named_before_any_job(make_workflow):
    workflow = make_workflow({"source": "pngs/b_z{z}.png"})
    write_pattern(workflow.directory)
    (workflow.directory / "pngs/b_z012.png").unlink()
    run = workflow(check=False)
    assert run.code == 1
    assert "Traceback" not in run.output
    last = run.output.strip().splitlines()[-1]
    assert last.startswith("neurozarr: sample b: ")
    assert "12" in last
    assert not (workflow.directory / "results").exists()


def test_minc_and_dicom_become_nifti_zarr(make_workflow):
    """The affine of the MINC image agrees with nibabel; `test_dicom` has more of DICOM."""
    workflow = make_workflow({"samples": "sheet.tsv", "zarr": {"chunk": 8}})
    dicoms.slices(workflow.directory / "series")
    mnc = f"{nibabel.__path__[0]}/tests/data/tiny.mnc"
    lines = ["sample\tsource", "mr\tseries", f"minc\t{mnc}"]
    (workflow.directory / "sheet.tsv").write_text("\n".join(lines))
    workflow()
    found = zarr.open_array(workflow.store("mr") / "0", mode="r")
    assert found.shape == (4, 16, 16)
    assert found.dtype == np.dtype("u2")
    workflow("export")
    back = nibabel.load(workflow.directory / "results/nifti/minc_level-0.nii.gz")
    image = nibabel.load(mnc)
    corners = np.array([[0, 0, 0], np.array(back.shape) - 1])
    axes = np.abs(np.linalg.inv(image.affine[:3, :3]) @ back.affine[:3, :3]).round().astype(bool)
    order = [int(np.flatnonzero(axes[:, i])[0]) for i in range(3)]
    np.testing.assert_allclose(
        nibabel.affines.apply_affine(back.affine, corners),
        nibabel.affines.apply_affine(image.affine, corners[:, np.argsort(order)]),
        atol=1e-4,
    )
    np.testing.assert_allclose(
        np.asarray(back.dataobj), np.asarray(image.dataobj).transpose(order), rtol=1e-6
    )

"""Conversions by the library's steps, and headers to convert."""

import gzip

import nibabel
import numpy as np
import zarr
from hypothesis import strategies as st

from neurozarr.run.paths import StorePaths
from neurozarr.samples.reading import read_run
from neurozarr.steps.convert_bundle import convert_sample
from neurozarr.steps.export_nifti import export_nifti

DRIVER = "tensorstore"


def convert(source, directory, config=None):
    """Run every step; the store, and the sample that it is of."""
    return _convert({"source": str(source), "output": str(directory)} | (config or {}))


def convert_row(directory, **cells):
    """Run every step for a row of a sample sheet."""
    sheet = directory / "sheet.tsv"
    sheet.write_text("\t".join(cells) + "\n" + "\t".join(map(str, cells.values())))
    return _convert({"samples": str(sheet), "output": str(directory)})


def _convert(config):
    run, samples = read_run(config)
    (sample,) = samples.values()
    sample.check()
    paths = run.paths(sample.name)
    convert_sample(sample, paths, verify="none", threads=1)
    return paths.store, sample


def converted_with(source, folder, *, axes=None, chunk=128):
    """Level 0 of a conversion in which a sheet gives the axes."""
    (folder / "sheet.tsv").write_text(f"sample\tsource\taxes\na\t{source}\t{axes or ''}\n")
    config = {"samples": str(folder / "sheet.tsv"), "output": str(folder / "out")}
    run, samples = read_run(config | {"zarr": {"chunk": chunk}, "verify": "full"})
    convert_sample(samples["a"], run.paths("a"), verify="full", threads=2)
    return zarr.open_array(run.paths("a").level(0).folder, mode="r")[...]


def paths_of(store):
    """Where everything of a store lies."""
    version = 3 if (store / "0/zarr.json").exists() else 2
    name, kind = store.name.removesuffix(".zarr").rsplit(".", 1)
    nii = kind == "nii"
    return StorePaths(output=str(store.parent), sample=name, nii=nii, zarr_version=version)


def exported(store, level=0):
    """The bytes of a level as a NIfTI file."""
    paths = paths_of(store)
    export_nifti(paths, level, driver=DRIVER, threads=1)
    return gzip.decompress(paths.export(level).read_bytes())


def nifti_file(path, made):
    """Write a file of a header that `headers` drew, with voxels of any value."""
    header, start = made
    dtype, shape = header.get_data_dtype(), header.get_data_shape()
    voxels = np.random.default_rng(0).bytes(int(np.prod(shape)) * dtype.itemsize)
    path.write_bytes(start + voxels)
    return path


KINDS = [nibabel.Nifti1Header, nibabel.Nifti2Header]
DTYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16"]
numbers = st.floats(-1000, 1000, width=32)
scales = st.one_of(st.floats(width=32), numbers)


@st.composite
def headers(draw):
    """A header with voxels: any codes, units, forms, scale and text, in either byte order."""
    order = draw(st.sampled_from("<>"))
    header = draw(st.sampled_from(KINDS))(endianness=order)
    header.set_data_shape(draw(st.lists(st.integers(1, 5), min_size=3, max_size=5)))
    header.set_data_dtype(draw(st.sampled_from(DTYPES)))
    header["pixdim"][1:] = draw(st.lists(st.floats(0.125, 9, width=32), min_size=7, max_size=7))
    header["pixdim"][0] = draw(st.sampled_from([1, -1]))
    header["sform_code"], header["qform_code"] = draw(st.tuples(*[st.integers(0, 5)] * 2))
    for row in "xyz":
        header[f"srow_{row}"] = draw(st.lists(numbers, min_size=4, max_size=4))
        header[f"qoffset_{row}"] = draw(numbers)
    for letter in "bcd":
        header[f"quatern_{letter}"] = draw(st.floats(-0.5, 0.5, width=32))
    codes = st.sampled_from([0, 1, 2, 3, 8, 10, 16, 18, 24, 26, 34])
    header["xyzt_units"] = draw(codes)
    header["intent_code"] = draw(st.sampled_from([0, 3, 1002, 1007, 2003]))
    header["scl_slope"], header["scl_inter"] = draw(st.tuples(scales, numbers))
    header["cal_max"], header["toffset"] = draw(st.tuples(scales, scales))
    header["dim_info"] = draw(st.integers(0, 63))
    header["slice_code"] = draw(st.integers(0, 6))
    header["descrip"] = draw(st.binary(max_size=80))
    header["intent_name"] = draw(st.binary(max_size=16))
    extension = draw(st.sampled_from([b"", b"comment, in the words of its author"]))
    size = header.template_dtype.itemsize
    rest = b""
    if extension:
        length = -(-(8 + len(extension)) // 16) * 16
        sizes = np.array([length, 6], f"{order}i4").tobytes()
        rest = (sizes + extension).ljust(length, b"\0")
    header["vox_offset"] = size + 4 + len(rest)
    header["magic"] = header.single_magic
    return header, header.binaryblock + bytes([bool(rest), 0, 0, 0]) + rest

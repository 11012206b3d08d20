import os

import pytest

from neurozarr import fingerprints
from neurozarr.errors import SourceError


@pytest.fixture(params=[100, fingerprints.MAX_HASHED_BYTES + 1], ids=["small", "large"])
def file(request, tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(request.param))
    return path


def test_moved_file_is_the_same(file):
    known = fingerprints.fingerprints([file])
    fingerprints.check(known, [file], [file])
    (file.parent / "moved").mkdir()
    moved = file.rename(file.parent / "moved" / file.name)
    fingerprints.check(known, [moved], [moved])


def test_only_the_given_files_are_checked(file):
    other = file.with_name("other")
    other.write_bytes(b"1")
    known = fingerprints.fingerprints([file, other])
    file.unlink()
    fingerprints.check(known, [file, other], [other])
    other.write_bytes(b"2")
    with pytest.raises(SourceError, match="other was changed since its conversion began"):
        fingerprints.check(known, [file, other], [other])


def test_changed_size_is_named(file):
    known = fingerprints.fingerprints([file])
    size = file.stat().st_size
    file.write_bytes(bytes(size - 7))
    with pytest.raises(
        SourceError, match=rf"a\.nii: its size changed from {size} to {size - 7} bytes"
    ):
        fingerprints.check(known, [file], [file])


def test_changed_content_of_the_same_size_is_found(file):
    known = fingerprints.fingerprints([file])
    file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(SourceError, match=r"a\.nii was changed since its conversion began"):
        fingerprints.check(known, [file], [file])


def test_touched_small_file_is_the_same(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(b"voxels")
    known = fingerprints.fingerprints([path])
    os.utime(path, (0, 0))
    fingerprints.check(known, [path], [path])


def test_deleted_file_is_named(file):
    known = fingerprints.fingerprints([file])
    file.unlink()
    with pytest.raises(SourceError, match=r"a\.nii cannot be read \(No such file"):
        fingerprints.check(known, [file], [file])


def test_additional_file_is_found(file):
    known = fingerprints.fingerprints([file])
    with pytest.raises(SourceError, match="the number of source files changed from 1 to 2"):
        fingerprints.check(known, [file, file], [file])
